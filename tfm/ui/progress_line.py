"""One line that says what a command without a run is doing, and how far it is."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status
from rich.text import Text

from tfm.core.events import Progress
from tfm.ui.spell_references import spell


class ProgressLine:
    """In a terminal the line changes in place; elsewhere, and in the accessible mode, each change is a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, event: Progress) -> None:
        name = spell(event.name)
        text = Text(f"{name} …" if event.total == 1 else f"{name}: {event.done}/{event.total}")
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            self._console.print(text)
        elif self._status:
            self._status.update(text)
        else:
            self._status = self._console.status(text)
            self._status.start()
