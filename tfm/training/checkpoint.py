"""Checkpoints that can be trusted: whole, replaced at once, with a SHA-256 of their own that is checked at load.

What stands in one is the loop's affair.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import torch

from tfm.core import checksum, files, hints
from tfm.core.errors import TrainingError

WRITE_SHARE = 50  # writing takes at most this part of the time: a fiftieth
_RUN = "run"  # beside the loop's own words


class Damaged(Exception):
    """A checkpoint that stands but isn't what this run wrote."""


class Checkpoints:
    """A run's `last`, `previous` and `best`. Each holds its run's key: another's is refused as a damaged one is."""

    def __init__(self, folder: Path, seconds: float, key: str) -> None:
        self._last, self._previous = folder / "last.pt", folder / "previous.pt"
        self.best = folder / "best.pt"
        self._seconds, self._key = seconds, key
        self._written = time.monotonic()
        self._cost = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() - self._written >= max(self._seconds, WRITE_SHARE * self._cost)

    @property
    def last_written(self) -> float | None:
        """When, in seconds since 1970."""
        return self._last.stat().st_mtime if self._last.exists() else None

    def save(self, content: dict[str, Any]) -> None:
        """As `last`; what was `last` becomes `previous`. At every instant one of the two is whole."""
        begun = time.monotonic()
        with _beside(self._last) as temporary:
            _write(temporary, content | {_RUN: self._key})
            if self._last.exists():
                os.replace(self._last, self._previous)
        self._written = time.monotonic()
        self._cost = self._written - begun

    def save_best(self, content: dict[str, Any]) -> None:
        with _beside(self.best) as temporary:
            _write(temporary, content | {_RUN: self._key})

    def resume(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest content that is whole, and what is wrong with the files before it."""
        trouble: list[str] = []
        for path in (self._last, self._previous):
            if path.exists():
                try:
                    return self._own(path), trouble
                except Damaged as error:
                    trouble.append(f"{path.name} cannot be used ({error})")
        return None, trouble

    def _own(self, path: Path) -> dict[str, Any]:
        content = read(path)
        if content.get(_RUN) != self._key:
            raise Damaged("it is another run's")
        return content

    def load_best(self) -> dict[str, Any]:
        try:
            return self._own(self.best)
        except (Damaged, FileNotFoundError) as error:
            raise TrainingError(
                f"the best checkpoint cannot be read ({error})",
                hint=f"train again: {hints.command('runs restart RUN')}",
            ) from error


def _beside(path: Path) -> contextlib.AbstractContextManager[Path]:
    path.parent.mkdir(exist_ok=True)
    return files.write_atomically(path)


def _write(path: Path, content: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # a full disk, which torch reports as a defect of its own
                raise error.__context__ from None
            raise
    checksum.append_checksum(path)


def read(path: Path) -> dict[str, Any]:
    if not checksum.has_valid_checksum(path):
        raise Damaged("its SHA-256 does not match")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)  # it reads past the seal
    return content
