"""What a dataset and a cache hold, in figures: read from their small files, without pandas or numpy."""

from __future__ import annotations

import ast
import csv
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tfm.core import files

_SPLITS = {"official": "official split", "random": "random split", "kfold": "5 folds"}

F = TypeVar("F")


@dataclass(frozen=True)
class DatasetFacts:
    images: int
    patients: int
    training_images: int
    split: str  # in words; empty if the dataset does not say it
    is_synthetic: bool


@dataclass(frozen=True)
class CacheFacts:
    images: int
    height: int
    width: int


def read_dataset_facts(folder: Path) -> DatasetFacts | None:
    """None if the dataset is damaged or being written."""
    return _read_once(_read_dataset, folder, "manifest.csv")


def read_cache_facts(folder: Path) -> CacheFacts | None:
    return _read_once(_read_cache, folder, "images.npy")


def _read_once(read: Callable[[Path, int], F], folder: Path, file: str) -> F | None:
    try:
        return read(folder, (folder / file).stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, SyntaxError):
        return None


@functools.lru_cache(maxsize=256)
def _read_dataset(folder: Path, _changed: int) -> DatasetFacts:
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [(row["patient_id"], row["split"]) for row in csv.DictReader(file)]
    account = files.read_json(folder / "audit.json")
    return DatasetFacts(
        images=len(rows),
        patients=len({patient for patient, _ in rows}),
        training_images=sum(split == "train" for _, split in rows),
        split=_SPLITS.get(account.get("settings", {}).get("split"), ""),
        is_synthetic=bool(account.get("synthetic")),
    )


@functools.lru_cache(maxsize=256)
def _read_cache(folder: Path, _changed: int) -> CacheFacts:
    """Read the shape in the header of NumPy's file format: a mark of 8 bytes, the header's length, a literal."""
    with open(folder / "images.npy", "rb") as file:
        mark = file.read(8)
        length = int.from_bytes(file.read(2 if mark[6] == 1 else 4), "little")
        count, height, width = ast.literal_eval(file.read(length).decode("latin-1"))["shape"]
    return CacheFacts(count, height, width)
