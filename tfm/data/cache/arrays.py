"""A cache's arrays as files: made, and written row by row, by as many processes as one likes. They are read in `cache`.
Plain writes, never a writable memory map: on a full disk a write is an error in words, where a map ends the process."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import write_array_header_1_0

from tfm.core import files

ARRAYS = ("images", "breast", "lesions")

Row = dict[str, np.ndarray[Any, Any]]  # array → (H, W) of one image


class Form(NamedTuple):
    """What all images of a cache have in common."""

    height: int
    width: int
    type: str  # uint8 or uint16

    @classmethod
    def of(cls, images: np.ndarray[Any, Any]) -> Form:
        height, width = images.shape[-2:]
        return cls(height, width, images.dtype.name)

    @property
    def row_bytes(self) -> int:
        """Of all arrays together."""
        return sum(self.height * self.width * self.type_of(name).itemsize for name in ARRAYS)

    def type_of(self, array: str) -> np.dtype[Any]:
        return np.dtype(self.type if array == "images" else "uint8")

    def __str__(self) -> str:
        return f"{self.height} × {self.width}, {self.type}"


def array_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def map_arrays(folder: Path) -> dict[str, np.memmap[Any, Any]]:
    return {name: np.load(array_file(folder, name), mmap_mode="r") for name in ARRAYS}


class Behind:
    """Arrays of several caches, one behind the other, read by rows as a memory map is."""

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
        found = np.empty((len(flat), *self.shape[1:]), self.dtype)
        whose = np.searchsorted(self._ends, flat, side="right")
        for number, part in enumerate(self.parts):
            here = whose == number
            found[here] = part[flat[here] - (self._ends[number] - len(part))]
        return found.reshape(*rows.shape, *self.shape[1:])


def create_arrays(folder: Path, count: int, form: Form) -> None:
    """At their full length, with nothing in them: a row takes room on the disk once it is written. Each is whole as
    soon as it is there: workers look for them."""
    for name in ARRAYS:
        shape, kind = (count, form.height, form.width), form.type_of(name)
        with files.write_atomically(array_file(folder, name)) as temporary, open(temporary, "wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            write_array_header_1_0(file, header)
            file.truncate(file.tell() + math.prod(shape) * kind.itemsize)


class ArrayFiles:
    """Open for writing; each process opens its own."""

    def __init__(self, folder: Path) -> None:
        mapped = map_arrays(folder)
        self.count = len(mapped["images"])
        self.form = Form.of(mapped["images"])
        self._starts = {name: array.offset for name, array in mapped.items()}
        self._files = {name: open(array_file(folder, name), "r+b", buffering=0) for name in ARRAYS}  # noqa: SIM115

    def write(self, number: int, row: Row) -> None:
        for name, file in self._files.items():
            kind = self.form.type_of(name)
            content = np.ascontiguousarray(row[name], kind).data.cast("B")
            file.seek(self._starts[name] + number * len(content))
            while content:  # a disk that fills up takes the first part, and refuses the next
                content = content[file.write(content) :]

    def sync(self) -> None:
        for file in self._files.values():
            os.fsync(file.fileno())

    def allocated(self) -> int:
        """Bytes on the disk, where the system tells."""
        return sum(512 * getattr(os.fstat(file.fileno()), "st_blocks", 0) for file in self._files.values())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
