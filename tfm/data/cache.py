"""A cache of training images: arrays on disk in the rows of one index, made once by a chain of steps.

Knows nothing of splits: folds, seeds and label shares all read the same arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from tfm.core import files
from tfm.core.errors import DataError, TFMError
from tfm.data.dataset import Dataset
from tfm.imaging.chain import preprocess_one
from tfm.imaging.film import Film
from tfm.imaging.settings import ChainSettings

_ARRAYS = ("images", "breast", "lesions")
_INDEX, _SETTINGS, _SUMS = "index.csv", "settings.yaml", "sums.json"
_DONE_LOG = "done.jsonl"  # a line a finished row, written only after the row itself is on disk
_FLUSH_EVERY = 32  # images between two flushes to disk: what a power cut costs at most


@dataclass(frozen=True)
class Cache:
    folder: Path
    index: pd.DataFrame  # image_id, sop_uid, record (what each step did), in the arrays' row order
    images: np.ndarray[Any, Any]  # (N, H, W) uint8 or uint16, memory-mapped like the others
    breast: np.ndarray[Any, Any]  # (N, H, W) uint8, 1 inside the breast
    lesions: np.ndarray[Any, Any]  # (N, H, W) uint8, a lesion's class or 0

    @classmethod
    def open(cls, folder: Path) -> Cache:
        if not (folder / _INDEX).is_file():
            raise DataError(
                f"{folder} is not a finished cache", hint="preprocess the dataset, or let the one that was stopped end"
            )
        try:
            index = pd.read_csv(folder / _INDEX, dtype=str, keep_default_na=False)
            images, breast, lesions = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        except (OSError, ValueError) as error:
            raise DataError(f"the cache in {folder} is damaged: {error}", hint="preprocess it anew") from None
        if not len(index) == len(images) == len(breast) == len(lesions):
            raise DataError(f"the arrays and the index in {folder} do not fit together", hint="preprocess it anew")
        return cls(folder, index, images, breast, lesions)

    def same_pixels(self) -> list[list[str]]:
        """The image_ids of each picture that is here under several names."""
        pixels = self.index["record"].map(lambda record: json.loads(record)["pixels"])
        groups = self.index["image_id"].groupby(pixels).apply(list)
        return sorted(names for names in groups if len(names) > 1)


def refuse_replacing(folder: Path, dataset: Dataset, chain: ChainSettings) -> None:
    """A cache of another dataset, or made by other steps, stays: models may be training from it."""
    made = _made_with(folder)
    ours = [dataset.folder.name, _in_order(chain)]
    if (folder / _INDEX).is_file() and [made.get("dataset"), made.get("steps")] != ours:
        raise DataError(
            f"there is a cache called {folder.name} already, of another dataset or made with other settings",
            hint="give this one a name of its own: --cache NAME",
        )


def _in_order(chain: ChainSettings) -> list[list[Any]]:
    """A chain as pairs: in another order the same steps make other images."""
    return [[name, settings] for name, settings in chain.model_dump(mode="json")["steps"].items()]


def _made_with(folder: Path) -> dict[str, Any]:
    return files.read_yaml(folder / _SETTINGS) or {} if (folder / _SETTINGS).is_file() else {}


def build_cache(folder: Path, dataset: Dataset, chain: ChainSettings, *, version: int) -> Iterator[tuple[int, int]]:
    """(images done, images in all). Stopped anywhere and started again it goes on, and ends byte for byte the same.
    The index comes last: a folder with one is whole. `version` is that of the code that makes the images."""
    folder.mkdir(exist_ok=True)
    files.sweep(folder)
    rows = dataset.manifest.to_dict("records")
    settings = {
        "dataset": dataset.folder.name,
        "version": version,
        "steps": _in_order(chain),
        "contents": _contents_key(dataset, rows),
    }
    if _made_with(folder) == settings and _is_whole(folder):
        yield len(rows), len(rows)
        return
    if _made_with(folder) != settings or (folder / _INDEX).is_file():
        _clear(folder)
        files.write_yaml(folder / _SETTINGS, settings)
    log = _DoneLog(folder / _DONE_LOG)
    arrays = _standing_arrays(folder) if log.records else {}
    failures: list[str] = []
    for number, row in enumerate(rows):
        if number not in log.records:
            try:
                film = _film(dataset, row, chain)
            except TFMError as error:
                failures.append(error.message)
                continue
            arrays = arrays or _new_arrays(folder, len(rows), film)
            _write_row(arrays, number, film)
            log.note(number, film.record)
        if number % _FLUSH_EVERY == 0:
            _flush(arrays, log)
        yield number + 1, len(rows)
    _flush(arrays, log)
    _refuse(failures)
    _write_index(folder, rows, log.records)


def _contents_key(dataset: Dataset, rows: list[dict[Hashable, Any]]) -> str:
    """Changes with any image's or mask's size, time or place in the order; their bytes are read only once, below."""
    facts = []
    for row in rows:
        for name in (row["file"], row["mask"]):
            if name:
                stat = _stat(dataset.path(name))
                facts.append((row["image_id"], name.rpartition("/")[2], stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise DataError(
            f"{path} belongs to the dataset and is gone",
            hint="organize the download anew: `python wizard.py runs restart` with the run that organized it",
        ) from None


def _is_whole(folder: Path) -> bool:
    """Whether a finished cache still holds, byte for byte, what was made."""
    if not (folder / _INDEX).is_file() or not (folder / _SUMS).is_file():
        return False
    return bool(files.read_json(folder / _SUMS) == _sums(folder))


def _sums(folder: Path) -> dict[str, str]:
    arrays = (folder / f"{name}.npy" for name in _ARRAYS)
    return {path.name: files.sha256(path) for path in arrays if path.is_file()}


def _clear(folder: Path) -> None:
    """The index goes first: from then on the folder is no cache that anyone could open half-made."""
    for name in (_INDEX, _SUMS, _DONE_LOG, _SETTINGS, *(f"{array}.npy" for array in _ARRAYS)):
        (folder / name).unlink(missing_ok=True)


class _DoneLog:
    """Row → what the chain recorded of it, for the rows that are safely on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[int, dict[str, Any]] = {}
        self._waiting: list[str] = []
        if path.is_file():
            whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
            for line in whole.splitlines():
                number, record = json.loads(line)
                self.records[number] = record
            files.write_text(path, whole + "\n" if whole else "")

    def note(self, number: int, record: dict[str, Any]) -> None:
        self.records[number] = record
        self._waiting.append(json.dumps([number, record], sort_keys=True) + "\n")

    def flush(self) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(self._waiting))
            file.flush()
            os.fsync(file.fileno())
        self._waiting = []


Arrays = dict[str, np.memmap[Any, Any]]


def _standing_arrays(folder: Path) -> Arrays:
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _ARRAYS}


def _new_arrays(folder: Path, count: int, film: Film) -> Arrays:
    shape = (count, *film.image.shape)
    types: dict[str, Any] = {"images": film.image.dtype, "breast": np.uint8, "lesions": np.uint8}
    return {name: open_memmap(folder / f"{name}.npy", "w+", types[name], shape) for name in _ARRAYS}


def _film(dataset: Dataset, row: dict[Hashable, Any], chain: ChainSettings) -> Film:
    mask = dataset.path(row["mask"]) if row["mask"] else None
    return preprocess_one(dataset.path(row["file"]), mask, chain)


def _write_row(arrays: Arrays, number: int, film: Film) -> None:
    if film.image.shape != arrays["images"].shape[1:]:
        raise DataError(
            f"the images come out in different sizes ({film.image.shape} and {arrays['images'].shape[1:]})",
            hint="the chain needs the step resize",
        )
    arrays["images"][number] = film.image
    arrays["breast"][number] = film.breast
    arrays["lesions"][number] = film.lesions


def _flush(arrays: Arrays, log: _DoneLog) -> None:
    for array in arrays.values():
        array.flush()
    log.flush()


def _refuse(failures: list[str]) -> None:
    if failures:
        listed = "\n".join(failures[:10]) + (f"\n… and {len(failures) - 10} more" if len(failures) > 10 else "")
        raise DataError(
            f"{len(failures)} images could not be read; the others are done and kept:\n{listed}",
            hint="fetch those files again and organize the download anew; then start this again",
        )


def _write_index(folder: Path, rows: list[dict[Hashable, Any]], records: dict[int, dict[str, Any]]) -> None:
    index = pd.DataFrame(
        {
            "image_id": [row["image_id"] for row in rows],
            "sop_uid": [row["sop_uid"] for row in rows],
            "record": [json.dumps(records[number], sort_keys=True) for number in range(len(rows))],
        }
    )
    files.write_json(folder / _SUMS, _sums(folder))
    files.write_text(folder / _INDEX, index.to_csv(index=False, lineterminator="\n"))
    (folder / _DONE_LOG).unlink()
