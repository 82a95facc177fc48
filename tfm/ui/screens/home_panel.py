"""The panel of the home screen: four lines that say how far the work is, as wide as the window."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.text import Text

from tfm.core import machine
from tfm.core.runs.workspace import Workspace
from tfm.ui.home_state import LINES, Fact, HomeState
from tfm.ui.list_rows import shorten
from tfm.ui.spell_references import spell

PURPOSE = "for research and teaching, not diagnosis"
_MARKS = {"done": ("✓", "green"), "running": ("▸", "cyan"), "stopped": ("‖", "yellow"), "failed": ("✗", "red")}
_MISSING = ("–", "bright_black")
_FRAME = 4
_SHORTEST_NAME = 12
_SEPARATOR = " · "


class HomePanel:
    def __init__(self, state: HomeState, workspace: Workspace) -> None:
        self.state = state
        self.workspace = workspace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield Panel(
            Group(*draw_lines(self.state, width - _FRAME)),
            title=self._draw_title(width),
            title_align="left",
            subtitle=Text(PURPOSE, "dim"),
            subtitle_align="right",
            border_style="cyan",
        )

    def _draw_title(self, width: int) -> Text:
        """The workspace on the left and the device on the right, with the border between them."""
        device = spell(machine.describe_device())
        place = shorten(describe_place(self.workspace), width - cell_len(device) - 16)
        gap = width - cell_len(f"TFM ─ {place}  {device}") - 6
        return Text.assemble(("TFM", "bold cyan"), f" ─ {place} ", (f"{'─' * max(1, gap)} ", "cyan"), (device, "dim"))


def draw_plainly(state: HomeState, workspace: Workspace) -> RenderableType:
    """The same without a box, for a screen reader."""
    heading = Text(f"TFM, {describe_place(workspace)}, {machine.describe_device()}, {PURPOSE}.")
    lines = [Text(f"{line}: {'; '.join(_spell_fact(fact) for fact in state.facts[line])}") for line in LINES]
    return Group(heading, *lines)


def draw_lines(state: HomeState, width: int) -> list[Text]:
    lines = []
    label_width = max(cell_len(spell(line)) for line in LINES) + 3  # a digit and two spaces
    for number, line in enumerate(LINES, 1):
        label = Text(f"{number} {spell(line)}".ljust(label_width), "bold")
        lines.append(label.append_text(_join_facts(state.facts[line], width - label_width)))
    return lines


def describe_place(workspace: Workspace) -> str:
    """The path of the workspace, from this folder or from the person's own."""
    for start, name in ((Path.cwd(), ""), (Path.home(), "~/")):
        if workspace.root.is_relative_to(start):
            return f"{name}{workspace.root.relative_to(start)}"
    return str(workspace.root)


def _join_facts(facts: list[Fact], room: int) -> Text:
    """All facts if they fit; a long one is cut in its middle, where names tell less."""
    longest = room
    while True:
        parts = [_draw_fact(fact, longest) for fact in facts]
        used = sum(part.cell_len for part in parts) + len(_SEPARATOR) * (len(parts) - 1)
        if used <= room or longest <= room // len(facts) // 2:
            return Text(_SEPARATOR, "dim").join(parts)
        longest -= 1


def _draw_fact(fact: Fact, room: int) -> Text:
    mark, style = _MARKS.get(fact.state, _MISSING)
    is_quiet = fact.state in ("done", "missing")
    text = shorten(spell(fact.text), room - cell_len(mark) - 1)
    return Text.assemble((f"{mark} ", style), (text, "bright_black" if mark == "–" else "" if is_quiet else style))


def _spell_fact(fact: Fact) -> str:
    return spell(fact.text)
