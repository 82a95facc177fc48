"""Memory that is too small for what a network computes, told with a way out: in training, validation and prediction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from tfm.core.errors import TrainingError


@contextlib.contextmanager
def memory_told(device: torch.device, batch_size: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "not enough memory" not in str(error):
            raise
        raise TrainingError(
            f"the memory of {device} is too small for batches of {batch_size} images",
            hint="choose a smaller --batch-size (with --accumulate for as large a step), or a cache of smaller images",
        ) from error
