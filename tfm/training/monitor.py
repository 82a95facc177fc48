"""What a watcher likes to know while a training goes on: its pace, its memory, its best and its last checkpoint."""

from __future__ import annotations

import time
from datetime import datetime

import torch

from tfm.core.events import Gauges
from tfm.training.checkpoint import Checkpoints
from tfm.training.state import Training

_SECONDS = 1.0


class Dials:
    """Read about once a second. The pace is that of the steps since the last reading, validation not counted."""

    def __init__(self, training: Training, checkpoints: Checkpoints) -> None:
        self._training, self._checkpoints = training, checkpoints
        self.start()

    def start(self) -> None:
        """The clock, at the first step of an epoch."""
        self._began, self._images = time.monotonic(), 0

    def count(self, images: int) -> Gauges | None:
        """So many more are done; a reading, if it is time for one."""
        self._images += images
        seconds = time.monotonic() - self._began
        if seconds < _SECONDS:
            return None
        pace = self._images / seconds
        self.start()
        return Gauges({"images/s": f"{pace:.1f}" if pace < 10 else f"{pace:.0f}"} | self._standing())

    def read(self) -> Gauges:
        """All but the pace."""
        return Gauges(self._standing())

    def _standing(self) -> dict[str, str]:
        standing, device = self._training.standing, self._training.train.device
        values = {}
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            values["GPU memory"] = f"{torch.cuda.max_memory_reserved(device) / 2**30:.1f} of {total / 2**30:.0f} GiB"
        if standing.rows:
            figure = self._training.task.best.replace("_", " ")
            values["best so far"] = f"{figure} {standing.best:.3f} (epoch {standing.epoch - standing.stale})"
        written = self._checkpoints.last_written
        if written is not None:
            values["last checkpoint"] = datetime.fromtimestamp(written).strftime("%H:%M:%S")
        return values
