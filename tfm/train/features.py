"""What a frozen network makes of each image before its classifier sees it, kept on disk batch by batch.

A run that is killed goes on with the batch it was killed in. What is learned from features stands elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Progress
from tfm.train.batches import Images, cut
from tfm.train.limits import limits_told
from tfm.train.precision import computing_in


def classifier(network: nn.Module) -> nn.Linear:
    name = network.pretrained_cfg["classifier"]  # type: ignore[index]
    layer = network.get_submodule(name) if isinstance(name, str) and name else None
    if not isinstance(layer, nn.Linear):
        raise SettingsError(
            f"{type(network).__name__} has no single linear classifier whose place a regression could take",
            hint="train its last stage, or all of it: --trained last_stage, --trained all",
            fields=("trained",),
        )
    return layer


def features(
    network: nn.Module, images: Images, batch_size: int, file: Path, *, name: str, precision: str = "fp32"
) -> Generator[Event, None, np.ndarray]:  # (n, k) float32
    """Of a split's images, in the order of its rows and as they are: nothing is augmented."""
    layer, met = classifier(network), []
    batches = cut(np.arange(len(images.rows)), batch_size)
    kept = _Kept(file, len(images.rows), layer.in_features)
    network.eval()
    for chosen in batches[kept.done :]:
        hook = layer.register_forward_pre_hook(lambda _layer, given: met.append(given[0]))
        with torch.inference_mode(), limits_told(images.device, batch_size), computing_in(precision, images.device):
            network(images.batch(chosen))
        hook.remove()  # what stands between two events is somebody else's
        kept.append(int(chosen[0]), met.pop().float().cpu().numpy())
        yield Progress(name, kept.done, len(batches), "batches")
    found: np.ndarray = np.load(file)
    return found


class _Kept:
    """The features as .npy at its full length, and beside it a done-map: a byte for each batch, written after it."""

    def __init__(self, file: Path, count: int, width: int) -> None:
        self._file, self._map = file, file.with_suffix(".done")
        if not file.exists() or np.load(file, mmap_mode="r").shape != (count, width):
            self._map.unlink(missing_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            with files.beside(file) as temporary:
                np.lib.format.open_memmap(temporary, "w+", np.dtype(np.float32), (count, width))
        self._start = np.load(file, mmap_mode="r").offset
        self.done = self._map.stat().st_size if self._map.exists() else 0

    def append(self, row: int, block: np.ndarray) -> None:  # (B, k) float32
        # By plain writes: on a full disk these are an error in words, where a memory map ends the process.
        with open(self._file, "r+b", buffering=0) as file:
            file.seek(self._start + row * block[0].nbytes)
            _write(file, block.tobytes())
        with open(self._map, "ab", buffering=0) as file:
            _write(file, b"\1")
        self.done += 1


def _write(file: FileIO, content: bytes) -> None:
    while content:  # a disk that fills up takes the first part, and refuses the next
        content = content[file.write(content) :]
    os.fsync(file.fileno())
