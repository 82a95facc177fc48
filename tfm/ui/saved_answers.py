"""The answers a person gave last time, for each command and preset. Only forms read them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfm.core import files


class SavedAnswers:
    def __init__(self, file: Path) -> None:
        self.file = file

    def load(self, stage: str, presets: Sequence[str]) -> dict[str, Any]:
        kept = self._read_all().get(_make_key(stage, presets), {})
        return dict(kept) if isinstance(kept, dict) else {}

    def load_models(self, stage: str) -> tuple[str, ...]:
        """The models that were marked last."""
        kept = self._read_all().get(_name_models(stage))
        return tuple(map(str, kept)) if isinstance(kept, list) else ()

    def save_models(self, stage: str, names: Sequence[str]) -> None:
        if tuple(names) != self.load_models(stage):
            self._write(_name_models(stage), list(names))

    def save(self, stage: str, presets: Sequence[str], given: dict[str, Any]) -> None:
        if given == self.load(stage, presets):
            return  # opening a form writes nothing
        self._write(_make_key(stage, presets), given)

    def _write(self, key: str, value: Any) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        files.write_yaml(self.file, self._read_all() | {key: value})

    def _read_all(self) -> dict[str, Any]:
        """A damaged file counts as empty: it only loses last time's answers."""
        with contextlib.suppress(OSError, ValueError):
            kept = files.read_yaml(self.file)
            return kept if isinstance(kept, dict) else {}
        return {}


def _name_models(stage: str) -> str:
    return f"models of {stage}"


def _make_key(stage: str, presets: Sequence[str]) -> str:
    return " ".join([stage, *presets])
