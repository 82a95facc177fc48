"""Keep a cache's arrays on the GPU where they fit, so that batches need not be read from disk. Results are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from tfm.core.events import Event, Note, Progress
from tfm.data.cache.arrays import ARRAYS
from tfm.training.state import Training

SHARE = 1 / 4  # of the free memory: the network needs most of it
_BLOCK = 64  # images copied together: bounds the memory on the host


def keep_arrays_on_gpu(training: Training) -> Iterator[Event]:
    """Do this before trying batch sizes. On a CPU the system's file cache does the same."""
    device = training.device
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        yield from keep_arrays(training, free=torch.cuda.mem_get_info(device)[0] + unused)


def keep_arrays(training: Training, free: int) -> Iterator[Event]:
    """Copy the images and the masks that the task needs, all or none, where `free` bytes are free."""
    cache, device = training.train.cache, training.device
    arrays = {name: getattr(cache, name) for name in ("images", *sorted(training.task.needs & set(ARRAYS)))}
    size = sum(array.nbytes for array in arrays.values())
    fits = size <= SHARE * free
    yield Note(
        f"the images ({size / 2**30:.1f} GiB) are {'kept on the device' if fits else 'read from the disk'}: they take "
        f"{'at most' if fits else 'more than'} a quarter of the {free / 2**30:.1f} GiB that are free on {device}"
    )
    if fits:
        copies = {}
        for name, array in arrays.items():
            copies[name] = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, device=device)
            for start in range(0, len(array), _BLOCK):
                block = array[start : start + _BLOCK]
                copies[name][start : start + len(block)] = torch.from_numpy(np.array(block))
                yield Progress(f"copying {name} to {device}", start + len(block), len(array), "images")
        training.train = replace(training.train, arrays_on_device=copies)
        training.val = replace(training.val, arrays_on_device=copies)
