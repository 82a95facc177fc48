"""Errors of a device, explained with what to do about them: in training, validation and prediction."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

from tfm.core import hints
from tfm.core.errors import HaltedError, TrainingError

# PyTorch's words on a GPU, on Linux and on other systems.
_OUT_OF_MEMORY = "(out of|can't allocate|not enough) memory"
_NONDETERMINISTIC = " does not have a deterministic implementation"  # PyTorch's words, after the operation's name


@contextlib.contextmanager
def explain_device_errors(device: torch.device, batch_size: int) -> Iterator[None]:
    try:
        with explain_nondeterminism(device):
            yield
    except RuntimeError as error:
        out_of_memory = isinstance(error, torch.OutOfMemoryError) or re.search(_OUT_OF_MEMORY, str(error))
        if not out_of_memory and str(error).startswith("CUDA error"):  # this process cannot use the GPU any more
            raise HaltedError(
                f"{device} has failed: {str(error).splitlines()[0]}",
                hint="start the run again: it continues from its last checkpoint; if that fails too, check whether "
                "`nvidia-smi` still lists the GPU",
            ) from error
        if not out_of_memory:
            raise
        raise TrainingError(
            f"the memory of {device} is too small for batches of {batch_size} images",
            hint=f"choose a smaller {hints.setting('batch_size')} (with {hints.setting('accumulate')} for as "
            "large a step), or a cache of smaller images",
        ) from error


@contextlib.contextmanager
def explain_nondeterminism(device: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        operation, matches, _ = str(error).partition(_NONDETERMINISTIC)
        if not matches:
            raise
        raise TrainingError(
            f"this network needs {operation}, which {device} cannot compute with the same bits each time",
            hint=f"train without bit-exact results ({hints.setting('deterministic', False)}), or choose another "
            "network",
        ) from error
