"""Tables as files: CSV and JSON hold plain numbers for programs, Markdown and LaTeX hold text for people."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfm.core import files
from tfm.core.escape_text import escape_csv_cell, escape_latex, escape_markdown
from tfm.core.events import Table


@dataclass(frozen=True)
class ExportTable:
    """A table in both forms. Nothing in it is escaped yet.

    Attributes:
        caption: Explains the numbers.
        columns: The headings for people.
        rows: Text for people; a line break in a cell becomes a space.
        records: The same rows as plain values by name. What is unknown is None.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    records: Sequence[dict[str, Any]]


def convert_to_export(table: Table) -> ExportTable:
    """A table that a run showed. Its records hold text."""
    records = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return ExportTable(f"{table.title}. {table.caption}", table.columns, table.rows, records)


def export_table(table: ExportTable, folder: Path, name: str) -> list[Path]:
    """Write name.csv, name.md, name.tex and name.json. Return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    formats: dict[str, Callable[[ExportTable], str]] = {
        "csv": format_csv,
        "md": format_markdown,
        "tex": format_latex,
        "json": format_json,
    }
    paths = [folder / f"{name}.{ending}" for ending in formats]
    for path, format_table in zip(paths, formats.values(), strict=True):
        files.write_text(path, format_table(table))
    return paths


def format_csv(table: ExportTable) -> str:
    """Format the records. An unknown value is an empty cell; several values share a cell, separated by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = _list_columns(table)
    writer.writerow(columns)
    writer.writerows([_format_csv_cell(record.get(column)) for column in columns] for record in table.records)
    return text.getvalue()


def format_markdown(table: ExportTable) -> str:
    lines = [table.columns, *table.rows]
    head, *body = ("| " + " | ".join(map(escape_markdown, line)) + " |" for line in lines)
    sides = ["---:" if is_numeric else "---" for is_numeric in find_numeric_columns(table)]
    return "\n".join([head, "| " + " | ".join(sides) + " |", *body, "", escape_markdown(table.caption)]) + "\n"


def format_latex(table: ExportTable) -> str:
    r"""Format a booktabs table without a caption: the document writes its own \caption around \input.

    The caption is a comment, so that the file explains itself.
    """
    head, *body = (" & ".join(map(escape_latex, line)) + r" \\" for line in [table.columns, *table.rows])
    sides = "".join("r" if is_numeric else "l" for is_numeric in find_numeric_columns(table))
    return "\n".join(
        [
            f"% {escape_latex(table.caption)}",
            r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
            r"% If it is too wide: \usepackage{graphicx} and \resizebox{\linewidth}{!}{\input{...}}.",
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def format_json(table: ExportTable) -> str:
    content = {"caption": table.caption, "rows": [_replace_nan(record) for record in table.records]}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _list_columns(table: ExportTable) -> list[str]:
    return list(dict.fromkeys(name for record in table.records for name in record))


def _format_csv_cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return escape_csv_cell(" ".join(map(str, value)))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value) if isinstance(value, int | float) else escape_csv_cell(str(value))


def _replace_nan(value: Any) -> Any:
    """Replace what JSON cannot hold by None."""
    if isinstance(value, dict):
        return {name: _replace_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def find_numeric_columns(table: ExportTable) -> list[bool]:
    cells = zip(*table.rows, strict=True) if table.rows else ([] for _ in table.columns)
    return [
        all(cell[:1].isdigit() or cell[:1] in ("", "–", "-", "<", "\N{MINUS SIGN}") for cell in column)
        for column in cells
    ]
