"""What a form found in its input, and what its start would do: the inspection and the preview of a command."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rich.console import Console

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.ui.form_state import FormState
from tfm.ui.watch_preview import PreviewResult, ShownEvent, watch_preview


class FormInspection:
    """Inspects and previews again only if the settings have changed, or if it failed the last time."""

    def __init__(self, workspace: Workspace, console: Console, *, moving: bool) -> None:
        self.workspace = workspace
        self.console = console
        self.moving = moving
        self.error: TFMError | None = None
        self._found: list[ShownEvent] = []
        self._previewed: list[ShownEvent] = []
        self._inspected_values: dict[str, Any] | None = None
        self._previewed_settings: list[Settings] = []

    @property
    def events(self) -> list[ShownEvent]:
        return [*self._found, *self._previewed]

    def update(self, state: FormState) -> None:
        """Inspect the input, and give the state what was detected."""
        self.error = None
        try:
            path = state.inspection_path
            values = state.collect_inspected_values() if path else None
            if path is None or values == self._inspected_values:
                return
            self._inspected_values, self._found, self._previewed, self._previewed_settings = None, [], [], []
            state.apply_inspection(registry.InspectionResult())
            result = self._watch(registry.stream_events(path, values, self.workspace))
        except TFMError as error:
            self.error = error
            raise
        self._inspected_values, self._found = values, result.shown
        state.apply_inspection(result.inspection)

    def preview(self, state: FormState, resolved: list[Settings]) -> None:
        """Show what a start with these settings would do."""
        path = state.preview_path
        if path is None or resolved == self._previewed_settings:
            return
        self._previewed_settings, self._previewed = [], []
        events = (event for settings in resolved for event in registry.stream_events(path, settings, self.workspace))
        self._previewed = self._watch(events).shown
        self._previewed_settings = resolved

    def _watch(self, events: Generator[Any, None, None]) -> PreviewResult:
        return watch_preview(events, self.console, moving=self.moving)
