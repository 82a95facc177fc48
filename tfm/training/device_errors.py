"""What a device cannot do, told with a way out: in training, validation and prediction."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

from tfm.core import hints
from tfm.core.errors import HaltedError, TrainingError

_UNREPEATABLE = " does not have a deterministic implementation"  # PyTorch's words, behind the operation's name


@contextlib.contextmanager
def limits_told(device: torch.device, batch_size: int) -> Iterator[None]:
    try:
        with repeatable_told(device):
            yield
    except RuntimeError as error:
        too_small = isinstance(error, torch.OutOfMemoryError) or re.search("(not enough|out of) memory", str(error))
        if not too_small and str(error).startswith("CUDA error"):  # after which this process can compute no more
            raise HaltedError(
                f"{device} has failed: {str(error).splitlines()[0]}",
                hint="start the same thing again: it goes on from its last checkpoint; where that is of no use, see "
                "whether `nvidia-smi` still lists that GPU",
            ) from error
        if not too_small:
            raise
        raise TrainingError(
            f"the memory of {device} is too small for batches of {batch_size} images",
            hint=f"choose a smaller {hints.setting('batch_size')} (with "
            f"{hints.setting('accumulate')} for as large a step), or a cache of smaller images",
        ) from error


@contextlib.contextmanager
def repeatable_told(device: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        operation, found, _ = str(error).partition(_UNREPEATABLE)
        if not found:
            raise
        raise TrainingError(
            f"{operation}, which this network needs, cannot be computed on {device} so that it always ends in the same "
            "bits",
            hint=f"do without that ({hints.setting('deterministic', False)}), or choose another network",
        ) from error
