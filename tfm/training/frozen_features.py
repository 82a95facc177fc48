"""What a frozen network makes of each image before its classifier sees it, kept on disk as it comes.

A run that is killed goes on with the first batch that was not kept. What is learned from features stands elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tfm.core import files, hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Progress
from tfm.models.head import count_inputs
from tfm.training.batches import Images, cut
from tfm.training.device_errors import limits_told
from tfm.training.precision import computing_in

_SECONDS = 1.0  # between two writes: to wait for disk and GPU after each batch would cost more than the batch


def features(
    network: nn.Module,
    part: nn.Module,
    images: Images,
    batch_size: int,
    file: Path,
    *,
    name: str,
    precision: str = "fp32",
) -> Generator[Event, None, np.ndarray]:  # (n, k) float32
    """What comes into `part`, the network's head or its last layer. Of a split's images, in the order of its rows and
    as they are: nothing is augmented."""
    met: list[torch.Tensor] = []
    batches = cut(np.arange(len(images.rows)), batch_size)
    kept = _Kept(file, len(images.rows), count_inputs(part))
    network.eval()
    for done, chosen in enumerate(batches[kept.done :], start=kept.done + 1):
        hook = part.register_forward_pre_hook(lambda _part, given: met.append(given[0]))
        with torch.inference_mode(), limits_told(images.device, batch_size), computing_in(precision, images.device):
            network(images.batch(chosen))
        hook.remove()  # what stands between two events is somebody else's
        kept.append(int(chosen[0]), met.pop())
        yield Progress(name, done, len(batches), "batches")
    found: np.ndarray = np.load(file)
    if not np.isfinite(found).all():
        raise TrainingError(
            f"{type(network).__name__} gives features that are not finite numbers",
            hint=f"look whether its weights are as they should be; or choose {hints.setting('precision', 'fp32')}",
        )
    return found


class _Kept:
    """The features as .npy at its full length, and beside it a done-map: a byte for each batch, written after it."""

    def __init__(self, file: Path, count: int, width: int) -> None:
        self._file, self._map, self._count = file, file.with_suffix(".done"), count
        if not file.exists() or np.load(file, mmap_mode="r").shape != (count, width):
            self._map.unlink(missing_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            with files.write_atomically(file) as temporary:
                np.lib.format.open_memmap(temporary, "w+", np.dtype(np.float32), (count, width))
        self._start = np.load(file, mmap_mode="r").offset
        self.done = self._map.stat().st_size if self._map.exists() else 0
        self._waiting: list[torch.Tensor] = []
        self._row = 0  # of the first that waits
        self._written = time.monotonic()

    def append(self, row: int, block: torch.Tensor) -> None:  # (B, k), where it was computed
        self._row = self._row if self._waiting else row
        self._waiting.append(block)
        if row + len(block) == self._count or time.monotonic() - self._written >= _SECONDS:
            self._write()

    def _write(self) -> None:
        """By plain writes: on a full disk these are an error in words, where a memory map ends the process."""
        block = torch.cat(self._waiting).float().cpu().numpy()
        with open(self._file, "r+b", buffering=0) as file:
            file.seek(self._start + self._row * block[0].nbytes)
            _write(file, block.tobytes())
        with open(self._map, "ab", buffering=0) as file:
            _write(file, b"\1" * len(self._waiting))
        self._waiting, self._written = [], time.monotonic()


def _write(file: FileIO, content: bytes) -> None:
    while content:  # a disk that fills up takes the first part, and refuses the next
        content = content[file.write(content) :]
    os.fsync(file.fileno())
