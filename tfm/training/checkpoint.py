"""Checkpoint files: whole, replaced atomically, each with a SHA-256 that is checked when it is read.

What a checkpoint contains is decided in state.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import torch

from tfm.core import appended_checksum, files, hints
from tfm.core.errors import TrainingError
from tfm.core.runs.run import BEST_CHECKPOINT

WRITE_SHARE = 50  # writing takes at most a fiftieth of the time
RUN_KEY = "run"  # in a checkpoint: the key of the run that wrote it
LAST_CHECKPOINT = "last.pt"


class DamagedCheckpoint(Exception):
    """A checkpoint exists, but it is not what this run wrote."""


class Checkpoints:
    """A run's `last`, `previous` and `best`. Each contains the run's key: a checkpoint of another run is refused."""

    def __init__(self, folder: Path, seconds: float, key: str) -> None:
        self._last, self._previous = folder / LAST_CHECKPOINT, folder / "previous.pt"
        self.best = folder / BEST_CHECKPOINT
        self._seconds, self._key = seconds, key
        self._written = time.monotonic()
        self._write_seconds = 0.0
        self._is_last_damaged = False

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._written >= max(self._seconds, WRITE_SHARE * self._write_seconds)

    def get_last_written(self) -> float | None:
        """In seconds since 1970."""
        return self._last.stat().st_mtime if self._last.exists() else None

    def save(self, state: dict[str, Any]) -> None:
        """Save as `last`, and keep the old `last` as `previous`. At every instant one of the two is whole."""
        started = time.monotonic()
        with self._open_temporary(self._last) as temporary:
            write_checkpoint(temporary, state | {RUN_KEY: self._key})
            if self._is_last_damaged:  # the previous one is the only whole one
                os.replace(self._last, self._last.with_suffix(f".damaged{time.time():.0f}"))
                self._is_last_damaged = False
            elif self._last.exists():
                os.replace(self._last, self._previous)
        self._written = time.monotonic()
        self._write_seconds = self._written - started

    def save_best(self, state: dict[str, Any]) -> None:
        with self._open_temporary(self.best) as temporary:
            write_checkpoint(temporary, state | {RUN_KEY: self._key})

    def load_newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Load the newest whole checkpoint, and say what is wrong with newer ones."""
        problems: list[str] = []
        for path in (self._last, self._previous):
            if path.exists():
                try:
                    return self._load(path), problems
                except DamagedCheckpoint as error:
                    self._is_last_damaged = self._is_last_damaged or path == self._last
                    problems.append(f"{path.name} cannot be used ({error})")
        return None, problems

    def load_best(self) -> dict[str, Any]:
        try:
            return self._load(self.best)
        except DamagedCheckpoint as error:
            raise TrainingError(
                f"the best checkpoint cannot be read ({error})",
                hint=f"train again: {hints.command('runs restart RUN')}",
            ) from error

    def _load(self, path: Path) -> dict[str, Any]:
        state = read_checkpoint(path)
        if state.get(RUN_KEY) != self._key:
            raise DamagedCheckpoint("it belongs to another run")
        return state

    def _open_temporary(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        path.parent.mkdir(exist_ok=True)
        return files.write_atomically(path)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # a full disk, which torch reports as an error of its own
                raise error.__context__ from None
            raise
    appended_checksum.append_checksum(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read plain tensors and numbers. Loading never runs code, and whatever else a file contains is damage."""
    if not path.is_file():
        raise DamagedCheckpoint("it is missing or no file")
    if not appended_checksum.has_valid_checksum(path):
        raise DamagedCheckpoint("its SHA-256 does not match")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # ignores the checksum at the end
    except OSError:
        raise
    except Exception as error:  # a crafted file can make the unpickler raise anything
        raise DamagedCheckpoint("it contains more than tensors and numbers") from error
    if not isinstance(state, dict):
        raise DamagedCheckpoint("it is no checkpoint")
    return state
