"""The features a frozen network gives its classifier, saved to disk batch by batch.

A killed run continues with the first batch that was not saved. What is trained on features lives elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tfm.core import files, hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Progress
from tfm.models.head import count_inputs
from tfm.training.batches import Images, split_evenly
from tfm.training.device_errors import explain_device_errors
from tfm.training.precision import autocast

SECONDS_BETWEEN_WRITES = (
    1.0  # between two writes: waiting for disk and GPU after each batch would take longer than the batch
)


def extract_features(
    network: nn.Module,
    part: nn.Module,
    images: Images,
    batch_size: int,
    file: Path,
    *,
    name: str,
    precision: str = "fp32",
) -> Generator[Event, None, np.ndarray]:  # (n, k) float32
    """Extract the input of `part`, the network's head or its last layer, for each of a split's images, unaugmented."""

    def compute(chosen: np.ndarray) -> torch.Tensor:
        with record_input(part) as inputs:
            network(images.load(chosen))
        return inputs.pop()

    network.eval()
    features = yield from save_in_batches(
        compute, count_inputs(part), images, batch_size, file, name=name, precision=precision
    )
    check_finite(network, features)
    return features


@contextmanager
def record_input(part: nn.Module) -> Iterator[list[torch.Tensor]]:
    inputs: list[torch.Tensor] = []
    hook = part.register_forward_pre_hook(lambda _part, given: inputs.append(given[0]))
    try:
        yield inputs
    finally:
        hook.remove()


def save_in_batches(
    compute: Callable[[np.ndarray], torch.Tensor],
    width: int,
    images: Images,
    batch_size: int,
    file: Path,
    *,
    name: str,
    precision: str,
) -> Generator[Event, None, np.ndarray]:  # (n, width) float32
    """Call `compute` with the indices of one batch after another, and save what it returns, (B, width)."""
    batches = split_evenly(np.arange(len(images.samples)), batch_size)
    saved = _FeatureFile(file, len(images.samples), width)
    for done, chosen in enumerate(batches[saved.done :], start=saved.done + 1):
        with (
            torch.inference_mode(),
            explain_device_errors(images.device, batch_size),
            autocast(precision, images.device),
        ):
            rows = compute(chosen)
        saved.append(int(chosen[0]), rows)  # outside of inference mode, as the caller must not run in it
        yield Progress(name, done, len(batches), "batches")
    content: np.ndarray = np.load(file)
    return content


def check_finite(network: nn.Module, features: np.ndarray) -> None:
    if not np.isfinite(features).all():
        raise TrainingError(
            f"{type(network).__name__} gives features that are not finite numbers",
            hint=f"check its weights, or choose {hints.setting('precision', 'fp32')}",
        )


class _FeatureFile:
    """A .npy file of the full length, and beside it a file with a byte for each batch that was written."""

    def __init__(self, file: Path, count: int, width: int) -> None:
        self._file, self._done_file, self._count = file, file.with_suffix(".done"), count
        if not file.exists() or np.load(file, mmap_mode="r").shape != (count, width):
            self._done_file.unlink(missing_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            with files.write_atomically(file) as temporary:
                np.lib.format.open_memmap(temporary, "w+", np.dtype(np.float32), (count, width))
        self._start = np.load(file, mmap_mode="r").offset
        self.done = self._done_file.stat().st_size if self._done_file.exists() else 0
        self._waiting: list[torch.Tensor] = []
        self._row = 0  # of the first waiting batch
        self._written = time.monotonic()

    def append(self, row: int, block: torch.Tensor) -> None:  # (B, k), on its device
        self._row = self._row if self._waiting else row
        self._waiting.append(block)
        if row + len(block) == self._count or time.monotonic() - self._written >= SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        """Write without a memory map: on a full disk that would end the process without an error."""
        block = torch.cat(self._waiting).float().cpu().numpy()
        with open(self._file, "r+b", buffering=0) as file:
            file.seek(self._start + self._row * block[0].nbytes)
            write_all(file, block.tobytes())
        with open(self._done_file, "ab", buffering=0) as file:
            write_all(file, b"\1" * len(self._waiting))
        self._waiting, self._written = [], time.monotonic()


def write_all(file: FileIO, content: bytes) -> None:
    while content:  # a disk that fills up accepts a first part and refuses the next
        content = content[file.write(content) :]
    os.fsync(file.fileno())
