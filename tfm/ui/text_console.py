"""The console that prints for a person: in the reader's language, and without boxes in the accessible mode."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tfm.core.escape_text import escape_terminal
from tfm.ui.reader import is_accessible
from tfm.ui.spell_references import spell
from tfm.ui.translate import ENGLISH, get_language


class TextConsole(Console):
    """Shows `:ID:`, brackets and escape codes in a text as they are: names from files command nothing."""

    def __init__(self, **options: Any) -> None:
        self.is_accessible = is_accessible()
        plain = {"force_terminal": False, "color_system": None} if self.is_accessible else {}
        super().__init__(emoji=False, markup=False, **options | plain)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(spell(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if get_language() != ENGLISH:
            renderable = self._translate(renderable)
        if self.is_accessible:
            match renderable:
                case Panel():
                    renderable = self._list_panel(renderable)
                case Table():
                    renderable = self._list_rows(renderable)
                case ProgressBar():
                    renderable = Text(f"{renderable.percentage_completed or 0:.0f} %")
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else escape_terminal(segment.text)
            yield segment if safe == segment.text else Segment(safe, segment.style)

    def _translate(self, renderable: RenderableType) -> RenderableType:
        if isinstance(renderable, Text):
            return _translate_text(renderable)
        if isinstance(renderable, Panel):
            renderable = copy.copy(renderable)
            for name in ("title", "subtitle"):  # before the panel makes room for them
                title = getattr(renderable, name)
                setattr(renderable, name, _translate_text(self._make_text(title)) if title else None)
        return renderable

    def _list_panel(self, panel: Panel) -> Group:
        title, subtitle = (self._make_text(line) for line in (panel.title, panel.subtitle))
        return Group(*([title] if title else []), panel.renderable, *([subtitle] if subtitle else []))

    def _list_rows(self, table: Table) -> Group:
        """Each cell behind the heading of its column; the cells of a table without headings behind each other."""
        title = self._make_text(table.title)
        lines: list[RenderableType] = [title] if title else []
        headings = [self._make_text(column.header) for column in table.columns]
        for cells in zip(*(column.cells for column in table.columns), strict=True):
            row = [self._read_cell(cell) for cell in cells]
            if table.show_header:
                named = zip(headings, row, strict=True)
                lines += [Text(": ").join([head, cell]) if head else cell for head, cell in named if cell]
                lines.append(Text())
            else:
                first, *others = [cell for cell in row if cell] or [Text()]
                end = "" if first.plain.endswith(":") else ":"
                lines.append(Text(f"{end} ").join([first, Text(" ").join(others)]) if others else first)
        return Group(*lines)

    def _read_cell(self, cell: RenderableType) -> Text:
        if isinstance(cell, str | Text):
            return self._make_text(cell)
        lines = self.render_lines(cell, pad=False)
        return Text("\n".join("".join(segment.text for segment in line) for line in lines))

    def _make_text(self, text: RenderableType | None) -> Text:
        return text if isinstance(text, Text) else self.render_str(str(text or ""))


def _translate_text(text: Text) -> Text:
    """Translate the parts of a text that differ in style one by one."""
    ends = sorted({end for span in text.spans for end in (span.start, span.end) if 0 < end < len(text)})
    whole = text.blank_copy()
    for part in text.divide(ends):
        translated = Text(spell(part.plain), end="")
        for span in part.spans:
            translated.stylize(span.style)
        whole.append_text(translated)
    return whole
