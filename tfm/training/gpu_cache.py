"""Arrays of a cache kept on the GPU, where they fit: batches are then taken from there, not from the disk.

What comes out is the same to the last bit: only the way of the grey values is shorter.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import torch

from tfm.core.events import Event, Note, Progress
from tfm.training.state import Training

SHARE = 1 / 4  # of the free memory: what a network computes needs by far the larger part
_AT_ONCE = 64  # images that are brought over together: bounds the memory on the host


def settle(training: Training) -> Iterator[Event]:
    """Before anything else is tried out there. A CPU has the cache in its own memory as soon as it was read."""
    device = training.train.device
    if device.type == "cuda":
        ours = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by PyTorch for its own
        yield from keep(training, free=torch.cuda.mem_get_info(device)[0] + ours)


def keep(training: Training, free: int) -> Iterator[Event]:
    """The images and the masks that the task needs, all of them or none; `free` bytes are."""
    cache, device = training.train.cache, training.train.device
    arrays = {name: getattr(cache, name) for name in ("images", *sorted(training.task.needs - {"labels"}))}
    size = sum(array.nbytes for array in arrays.values())
    fits = size <= SHARE * free
    yield Note(
        f"the images ({size / 2**30:.1f} GiB) are {'kept on the device' if fits else 'read from the disk'}: they are "
        f"{'at most' if fits else 'more than'} a quarter of the {free / 2**30:.1f} GiB that are free on {device}"
    )
    if fits:
        kept = {}
        for name, array in arrays.items():
            kept[name] = yield from _brought(name, array, device)
        training.train, training.val = (replace(images, kept=kept) for images in (training.train, training.val))


def _brought(name: str, array: np.ndarray, device: torch.device) -> Generator[Event, None, torch.Tensor]:
    kept = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, device=device)
    for start in range(0, len(array), _AT_ONCE):
        block = array[start : start + _AT_ONCE]
        kept[start : start + len(block)] = torch.from_numpy(np.array(block))
        yield Progress(f"{name} onto {device}", start + len(block), len(array), "images")
    return kept
