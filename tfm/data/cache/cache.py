"""Read a cache of training images: arrays on disk with one index. It is made in `build`.
A cache has no splits: folds, seeds and label shares all read the same arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tfm.core.errors import DataError
from tfm.core.files import read_json
from tfm.data.cache.arrays import ARRAYS, JoinedArrays, array_file, map_arrays

LEFT_OUT = "left_out.json"  # images of the dataset that cannot be preprocessed; missing if there are none
INDEX, SETTINGS = "index.csv", "settings.yaml"  # the index is written last: a folder that has one is complete


@dataclass(frozen=True)
class Cache:
    folder: Path
    index: pd.DataFrame  # image_id, sop_uid, record (what each step did), in the arrays' row order
    images: np.ndarray[Any, Any]  # (N, H, W) uint8 or uint16, memory-mapped like the others
    breast: np.ndarray[Any, Any]  # (N, H, W) uint8, 1 inside the breast
    lesions: np.ndarray[Any, Any]  # (N, H, W) uint8, a lesion's class or 0
    joined_folders: tuple[Path, ...] = ()  # folders of the caches whose rows follow

    @classmethod
    def open(cls, folder: Path) -> Cache:
        try:
            before = _identify_index(folder)
            index = pd.read_csv(folder / INDEX, dtype=str, keep_default_na=False)
            arrays = map_arrays(folder)
            replaced = before != _identify_index(folder)  # a replacement removes the index first and writes it last
        except (OSError, ValueError) as error:
            if not folder.is_dir():
                raise DataError(
                    f"there is no cache called {folder.name}: the folder {folder} is missing",
                    hint="put it back if it was renamed or moved, or preprocess the dataset again",
                ) from None
            if not (folder / INDEX).is_file():
                raise DataError(
                    f"{folder} is not a finished cache",
                    hint="preprocess the dataset, or resume the run that was stopped",
                ) from None
            raise DataError(f"the cache in {folder} is damaged: {error}", hint="preprocess it again") from None
        if replaced:
            raise DataError(f"the cache in {folder} is being replaced", hint="start again when that is done")
        _check_fit(folder, len(index), **arrays)
        return cls(folder, index, arrays["images"], arrays["breast"], arrays["lesions"])

    def join(self, others: Sequence[Cache]) -> Cache:
        """Read several caches as one, the rows of `others` last. Nothing is copied."""
        forms = {(cache.images.shape[1:], cache.images.dtype) for cache in (self, *others)}
        if len(forms) > 1:
            raise DataError(
                f"the images of {', '.join(cache.folder.name for cache in others)} differ in form from those "
                f"of the cache {self.folder.name}: {' and '.join(f'{shape}, {kind}' for shape, kind in sorted(forms))}",
                hint="add the step intensity to the chain: it brings images of 8 and of 16 bits to one type",
            )
        images, breast, lesions = (
            cast(np.ndarray[Any, Any], JoinedArrays([getattr(cache, name) for cache in (self, *others)]))
            for name in ARRAYS
        )
        index = pd.concat([self.index, *(cache.index for cache in others)], ignore_index=True)
        return Cache(self.folder, index, images, breast, lesions, tuple(cache.folder for cache in others))

    @property
    def files(self) -> list[Path]:
        return [*(array_file(self.folder, name) for name in ARRAYS), self.folder / INDEX, self.folder / SETTINGS]

    def read_left_out(self) -> dict[str, str]:
        """Map the image_id of each image that could not be preprocessed to the reason."""
        path = self.folder / LEFT_OUT
        return {name: reason for name, (_, reason) in read_json(path)["images"].items()} if path.is_file() else {}

    def read_records(self, among: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Map each of these image_ids to its preprocessing record."""
        rows = self.index[self.index["image_id"].isin(set(among))]
        return {name: json.loads(record) for name, record in zip(rows["image_id"], rows["record"], strict=True)}

    def find_same_pixels(self, among: Iterable[str]) -> list[list[str]]:
        """Group those of these image_ids whose images have identical pixels."""
        named: dict[str, list[str]] = {}
        for name, record in self.read_records(among).items():
            if "pixels" in record:
                named.setdefault(record["pixels"], []).append(name)
        return sorted(names for names in named.values() if len(names) > 1)


def _identify_index(folder: Path) -> tuple[int, int]:
    found = (folder / INDEX).stat()
    return found.st_ino, found.st_mtime_ns


def _check_fit(folder: Path, count: int, images: Any, breast: Any, lesions: Any) -> None:
    shapes = {array.shape for array in (images, breast, lesions)}
    types = [array.dtype.name for array in (images, breast, lesions)]
    if len(shapes) != 1 or images.ndim != 3 or len(images) != count:
        raise DataError(f"the arrays and the index in {folder} do not match", hint="preprocess it again")
    if types[0] not in ("uint8", "uint16") or types[1:] != ["uint8", "uint8"]:
        raise DataError(f"the arrays in {folder} hold {', '.join(types)}", hint="preprocess it again")
