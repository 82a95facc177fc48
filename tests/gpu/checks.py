"""A check and its outcome, and how large the checks are on a GPU and on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

OK, RAN, NOT_POSSIBLE = "ok", "ran", "not possible here"
NOT_REACHED, FAILED, NOT_RUN = "NOT REACHED", "FAILED", "NOT RUN"
HEADER = "| check | measured | wanted | result | seconds |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Outcome:
    measured: str
    wanted: str = ""
    is_reached: bool | None = True  # None: nothing is promised on this device


@dataclass(frozen=True)
class Check:
    name: str
    measure: Callable[[], Outcome]


@dataclass(frozen=True)
class Row:
    """A check's row in the table."""

    name: str
    measured: str
    wanted: str
    result: str
    seconds: float

    @property
    def is_bad(self) -> bool:
        return self.result in (NOT_REACHED, FAILED, NOT_RUN)

    def to_markdown(self) -> str:
        cells = (self.name, self.measured, self.wanted, self.result, f"{self.seconds:.0f}")
        return f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in cells)} |"


class NotPossible(Exception):
    """This machine cannot run the check. The message gives the reason."""


@dataclass(frozen=True)
class ImageSize:
    stands_for: str  # the size on a GPU
    height: int
    width: int
    batch: int  # images in a batch; halved until it fits
    warm: int  # steps before the timed ones
    timed: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def __str__(self) -> str:
        own = f"{self.height}×{self.width}"
        return self.stands_for if own == self.stands_for else f"{self.stands_for} (here {own})"


@dataclass(frozen=True)
class Scale:
    """How large the checks are. On a CPU they only show that they work: speeds are promised for a GPU."""

    device: torch.device
    sizes: tuple[ImageSize, ImageSize, ImageSize]
    epochs: int  # of whole runs
    loader_images: int  # of the PNG folder

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def middle_size(self) -> ImageSize:
        return self.sizes[1]

    def judge(self, measured: str, value: float, least: float = 0.0, most: float = float("inf")) -> Outcome:
        """Compare a ratio with what is promised. A CPU promises nothing."""
        wanted = f"≥ {least:g}" if least else f"≤ {most:g}"
        if self.is_gpu:
            return Outcome(measured, wanted, least <= value <= most)
        return Outcome(measured, f"{wanted} on a GPU", None)

    def pick(self, on_gpu: str, on_cpu: str) -> str:
        """Choose the name of a network."""
        return on_gpu if self.is_gpu else on_cpu


def choose_scale() -> Scale:
    if torch.cuda.is_available():
        sizes = (
            ImageSize("224×224", 224, 224, batch=64, warm=3, timed=8),
            ImageSize("512×512", 512, 512, batch=32, warm=3, timed=8),
            ImageSize("1152×896", 1152, 896, batch=16, warm=2, timed=4),
        )
        return Scale(torch.device("cuda:0"), sizes, epochs=6, loader_images=1536)
    small = (
        ImageSize("224×224", 64, 64, batch=2, warm=1, timed=2),
        ImageSize("512×512", 80, 80, batch=2, warm=1, timed=2),
        ImageSize("1152×896", 96, 80, batch=2, warm=1, timed=2),
    )
    return Scale(torch.device("cpu"), small, epochs=2, loader_images=48)
