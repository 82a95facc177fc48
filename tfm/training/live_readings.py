"""The live view's readings of a training: speed, GPU memory, best epoch, last checkpoint."""

from __future__ import annotations

import time
from datetime import datetime

import torch

from tfm.core.events import CurrentValues
from tfm.core.machine import read_peak_memory_gib
from tfm.training.checkpoint import Checkpoints
from tfm.training.state import Training

SECONDS_BETWEEN_READINGS = 1.0


class Monitor:
    """Read about once a second. The speed is that of the steps since the last reading, without validation."""

    def __init__(self, training: Training, checkpoints: Checkpoints) -> None:
        self._training, self._checkpoints = training, checkpoints
        self.start()

    def start(self) -> None:
        """Restart the clock, at the first step of an epoch."""
        self._started, self._images = time.monotonic(), 0

    def count(self, images: int) -> CurrentValues | None:
        """Count images; return a reading when it is due."""
        self._images += images
        seconds = time.monotonic() - self._started
        if seconds < SECONDS_BETWEEN_READINGS:
            return None
        speed = self._images / seconds
        self.start()
        return CurrentValues({"images/s": f"{speed:.1f}" if speed < 10 else f"{speed:.0f}"} | self.read().values)

    def read(self) -> CurrentValues:
        """Everything but the speed."""
        state, device = self._training.state, self._training.device
        values = {}
        if device.type == "cpu" and (memory := read_peak_memory_gib()):
            values["memory"] = f"{memory:.1f} GiB"
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            values["GPU memory"] = f"{torch.cuda.max_memory_reserved(device) / 2**30:.1f} of {total / 2**30:.0f} GiB"
        if state.rows:
            metric = self._training.task.best.replace("_", " ")
            values["best so far"] = f"{metric} {state.best:.3f} (epoch {state.epoch - state.stale})"
        written = self._checkpoints.get_last_written()
        if written is not None:
            values["last checkpoint"] = datetime.fromtimestamp(written).strftime("%H:%M:%S")
        return CurrentValues(values)
