"""The array files of a cache: their form, memory-mapped reading, and writing. Rows are made in `row_maker`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import write_array_header_1_0

from tfm.core.events import Event, Progress

ARRAYS = ("images", "breast", "lesions")

Row = dict[str, np.ndarray[Any, Any]]  # array → (H, W) of one image


class Form(NamedTuple):
    """Size and type that all images of a cache share."""

    height: int
    width: int
    type: str  # uint8 or uint16

    @classmethod
    def of(cls, images: np.ndarray[Any, Any]) -> Form:
        height, width = images.shape[-2:]
        return cls(height, width, images.dtype.name)

    @property
    def row_bytes(self) -> int:
        """Size of one row in all arrays together."""
        return sum(self.height * self.width * self.get_dtype(name).itemsize for name in ARRAYS)

    def get_dtype(self, array: str) -> np.dtype[Any]:
        return np.dtype(self.type if array == "images" else "uint8")

    def __str__(self) -> str:
        return f"{self.height} × {self.width}, {self.type}"


def array_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def map_arrays(folder: Path) -> dict[str, np.memmap[Any, Any]]:
    return {name: np.load(array_file(folder, name), mmap_mode="r") for name in ARRAYS}


class JoinedArrays:
    """Arrays of several caches, indexed by row as if they were one memory map."""

    def __init__(self, parts: Sequence[np.ndarray[Any, Any]]) -> None:
        self.parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape = (len(self), *parts[0].shape[1:])
        self.dtype = parts[0].dtype
        self.nbytes = sum(part.nbytes for part in parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        rows = np.arange(len(self))[key]
        flat = rows.reshape(-1)
        result = np.empty((len(flat), *self.shape[1:]), self.dtype)
        part_of_row = np.searchsorted(self._ends, flat, side="right")
        for number, part in enumerate(self.parts):
            here = part_of_row == number
            result[here] = part[flat[here] - (self._ends[number] - len(part))]
        return result.reshape(*rows.shape, *self.shape[1:])


def write_arrays(folder: Path, form: Form, rows: Iterable[Row], count: int) -> Generator[Event, None, dict[str, str]]:
    """Write `count` rows to disk and return the SHA-256 of each file.

    Plain writes, not a writable memory map: on a full disk a write raises an error, while a map ends the process.
    """
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(open(array_file(folder, name), "wb")) for name in ARRAYS}
        digests = {name: hashlib.sha256() for name in ARRAYS}

        def write(name: str, content: bytes) -> None:
            opened[name].write(content)
            digests[name].update(content)

        for name in ARRAYS:
            header = io.BytesIO()
            descr = np.lib.format.dtype_to_descr(form.get_dtype(name))
            shape = (count, form.height, form.width)
            write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
            write(name, header.getvalue())
        for done, row in enumerate(rows, 1):
            for name in ARRAYS:
                write(name, row[name].astype(form.get_dtype(name), copy=False).tobytes())
            yield Progress("packed", done, count, "images")
        for file in opened.values():
            file.flush()
            os.fsync(file.fileno())
    return {name: digest.hexdigest() for name, digest in digests.items()}
