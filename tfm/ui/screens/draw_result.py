"""The upper part of a result's screen: what came out, what to bear in mind, and the main table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import Note
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui import render
from tfm.ui.result_page import ResultPage, build_page
from tfm.ui.screens import job_end
from tfm.ui.spell_references import spell


def draw_head(job: Run | Plan, console: Console) -> list[RenderableType]:
    """The summary, warnings and why it is not done; the table, which may be cut; a line of protocol."""
    status = job.read_status()
    parts: list[RenderableType] = []
    page = build_page(job) if status.state == "done" or status.runs else ResultPage("", [], [], [])
    if page.summary:
        parts.append(Text(spell(page.summary) + "\n", "bold"))
    parts += draw_warnings(page.notes)
    if status.state != "done":
        cause, *_ = job_end.describe_end(job, status)  # the rest are commands, which rows of this screen replace
        parts.append(_draw_problem(cause))
    if page.main:
        parts.append(render.draw_table(replace(page.main, caption=""), console.width))
        if page.main.caption:
            parts.append(draw_protocol(page.main.caption))
    return parts


def _draw_problem(line: TFMError | Text) -> RenderableType:
    if isinstance(line, Text):
        return line
    return Text(f"{spell(line.message)}\n", "red").append(f"What to do: {spell(line.hint)}\n", "not red")


def draw_warnings(notes: Sequence[Note]) -> list[Text]:
    """One line with the first warning and the number of others; all are behind a key."""
    warnings = [note.text for note in notes if note.level == "warning"]
    if not warnings:
        return []
    more = f"(+{len(warnings) - 1}) " if len(warnings) > 1 else ""
    first = spell(warnings[0]).partition("\n")[0]
    return [Text(f"! {more}{first}", "yellow", no_wrap=True, overflow="ellipsis")]


def draw_protocol(caption: str) -> Text:
    """One dim line; the rest is behind a key."""
    return Text(spell(caption).replace("\n", " "), "dim", no_wrap=True, overflow="ellipsis")


class Fitted:
    """Renderables in at most so many lines: the second last one, a table, loses its last rows."""

    def __init__(self, parts: Sequence[RenderableType], lines: int) -> None:
        self.parts, self.lines = parts, lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Group(*self.parts), options, pad=False)
        if len(lines) > self.lines:
            kept = self.lines - 1
            lines = [*lines[:kept], [Segment(f"… {len(lines) - kept} more lines: press p")]]
        for line in [*lines, []]:
            yield from line
            yield Segment.line()
