"""The answers a person gave last time, for each command and preset. Only forms read them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tfm.core import files


class SavedAnswers:
    def __init__(self, file: Path) -> None:
        self.file = file

    def load(self, stage: str, presets: Sequence[str]) -> dict[str, Any]:
        kept = self._read_all().get(_make_key(stage, presets), {})
        return dict(kept) if isinstance(kept, dict) else {}

    def save(self, stage: str, presets: Sequence[str], given: dict[str, Any]) -> None:
        if given == self.load(stage, presets):
            return  # opening a form writes nothing
        self.file.parent.mkdir(parents=True, exist_ok=True)
        files.write_yaml(self.file, self._read_all() | {_make_key(stage, presets): given})

    def _read_all(self) -> dict[str, Any]:
        """A damaged file counts as empty: it only loses last time's answers."""
        with contextlib.suppress(FileNotFoundError, yaml.YAMLError):
            kept = files.read_yaml(self.file)
            return kept if isinstance(kept, dict) else {}
        return {}


def _make_key(stage: str, presets: Sequence[str]) -> str:
    return " ".join([stage, *presets])
