"""The thesis pack: the parts of a report as LaTeX that compiles, with its figures, tables, numbers and methods."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfm.analysis.evaluation import METRICS
from tfm.analysis.export_table import export_table, format_latex
from tfm.analysis.figures.style import save_figure
from tfm.analysis.report.parts import FigurePart, Part, PicturePart, TablePart
from tfm.analysis.thesis.document_tables import list_document_tables
from tfm.analysis.thesis.number_macros import format_macros
from tfm.analysis.thesis.render_latex import TEMPLATES, render_latex, render_text
from tfm.analysis.thesis.study_facts import StudyFacts
from tfm.core import files

_CHECKLISTS = {"checklist-claim": "claim-2024", "checklist-tripod": "tripod-ai"}


def write_thesis_pack(
    folder: Path, title: str, facts: StudyFacts, numbers: dict[str, str], parts: Sequence[Part]
) -> list[Path]:
    """Write the pack. Return the path of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = {
        "numbers.tex": format_macros(numbers),
        "methods-en.tex": render_latex("methods-en.tex.j2", facts=facts),
        "methods-es.tex": render_latex("methods-es.tex.j2", facts=facts),
        "references.bib": (TEMPLATES / "references.bib").read_text(encoding="utf-8"),
        **{f"{name}.tex": _render_checklist(source, facts) for name, source in _CHECKLISTS.items()},
    }
    written: list[Path] = []
    figures = []
    for part in parts:
        match part:
            case TablePart():
                written += export_table(part.table, folder / "tables", clean_file_name(part.name))
            case FigurePart():
                file = clean_file_name(part.name)
                written += save_figure(part.figure, folder / "figures", file, kinds=("pdf",))
                figures.append({"label": part.name, "file": f"{file}.pdf", "caption": part.caption})
            case PicturePart():
                pdf = part.file.with_suffix(".pdf")
                source = pdf if pdf.is_file() else part.file
                file = f"{clean_file_name(part.name)}{source.suffix}"
                (folder / "figures").mkdir(exist_ok=True)
                written.append(Path(shutil.copyfile(source, folder / "figures" / file)))
                figures.append({"label": part.name, "file": file, "caption": part.caption})
    tables = list_document_tables({part.name: part.table for part in parts if isinstance(part, TablePart)})
    documents |= {f"tables/main-{label}.tex": format_latex(table) for label, table in tables.items()}
    documents["main.tex"] = render_latex("main.tex.j2", title=title, facts=facts, tables=tables, figures=figures)
    for name, text in documents.items():
        files.write_text(folder / name, text)
        written.append(folder / name)
    return written


def clean_file_name(name: str) -> str:
    """Keep the characters that LaTeX takes in the name of a file."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")


def _render_checklist(source: str, facts: StudyFacts) -> str:
    """Fill the answers of a checklist. What only the author can answer stays as a question."""
    checklist: dict[str, Any] = files.read_yaml(TEMPLATES / f"{source}.yaml")
    metrics = ", ".join(name for key, name in METRICS.items() if key != "auc")
    filled = [
        {
            "number": item["number"],
            "item": item["item"],
            **{key: render_text(item.get(key, ""), facts=facts, metrics=metrics) for key in ("answer", "ask")},
        }
        for item in checklist["items"]
    ]
    return render_latex("checklist.tex.j2", title=checklist["title"], about=checklist["about"], items=filled)
