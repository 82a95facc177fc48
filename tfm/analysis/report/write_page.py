"""The report as one HTML page."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tfm.analysis.export_table import find_numeric_columns
from tfm.analysis.html.render_page import embed_figure, embed_picture, render_page
from tfm.analysis.report.parts import (
    CodePart,
    FigurePart,
    Paragraph,
    Part,
    PicturePart,
    Section,
    TablePart,
    name_anchor,
)
from tfm.core import files

_LONGEST_SIDE = 1800  # pixels of a picture in the page


def write_page(path: Path, title: str, lead: str, footer: str, sections: Sequence[Section]) -> None:
    page = render_page(
        "report.html.j2", title, lead=lead, footer=footer, sections=[_render_section(one) for one in sections]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, page)


def _render_section(section: Section) -> dict[str, Any]:
    return {
        "anchor": section.anchor,
        "title": section.title,
        "groups": _render_groups(section.parts),
        "sections": [_render_section(one) for one in section.sections],
    }


def _render_groups(parts: Sequence[Part]) -> list[list[dict[str, Any]]]:
    """Render the parts. Figures that follow each other are one group, and are shown side by side if there is room."""
    groups: list[list[dict[str, Any]]] = []
    for is_figure, found in itertools.groupby(parts, lambda part: isinstance(part, FigurePart)):
        rendered = [_render_part(part) for part in found]
        groups += [rendered] if is_figure else [[part] for part in rendered]
    return groups


def _render_part(part: Part) -> dict[str, Any]:
    match part:
        case Paragraph():
            return {"kind": "paragraph", "text": part.text, "is_warning": part.is_warning}
        case FigurePart():
            return {"kind": "figure", "picture": embed_figure(part.figure), "alt": part.alt, "caption": part.caption}
        case PicturePart():
            return {"kind": "figure", "picture": _embed_file(part.file), "alt": part.alt, "caption": part.caption}
        case TablePart():
            return {"kind": "table", "summary": part.summary, **_render_table(part)}
        case CodePart():
            return {"kind": "code", "text": part.text}


def _render_table(part: TablePart) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for row in part.table.rows:
        run = part.find_run(row)
        texts = [_hold_together(cell) for cell in row]
        anchors = [name_anchor(part.runs.get(cell, run)) for cell in row] if run else []
        rows.append(list(zip(texts, anchors, strict=True)) if run else texts)
    numbers = [place for place, is_numeric in enumerate(find_numeric_columns(part.table)) if is_numeric and place]
    return {"columns": part.table.columns, "rows": rows, "caption": part.table.caption, "numbers": numbers}


def _hold_together(cell: str) -> str:
    """Let a narrow column break before an interval, but not within it."""
    return re.sub(
        r"\([\d\N{MINUS SIGN}][^()]* to [^()]*\)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell
    )


def _embed_file(file: Path) -> str:
    """Embed a picture as JPEG, which is a tenth of a PNG for mammograms."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE * 2), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, format="jpeg", quality=85, optimize=True)
    return embed_picture(content.getvalue(), "jpeg")
