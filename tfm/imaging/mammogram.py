"""What a step is given and what it gives back: pixels, where they lie on the film, where the breast is, what was done.

How films are read stands in `pixels`, what is done to them in `steps/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tfm.imaging.breast_mask import BreastMask, find_breast
from tfm.imaging.geometry import Geometry


@dataclass(frozen=True)
class Mammogram:
    """No step writes into the pixels it was given. The breast is found when a step first asks for it, in the image as
    it is by then: polarity and border may be put right before."""

    image: np.ndarray  # (H, W) uint8 or uint16
    geometry: Geometry = field(default_factory=Geometry)
    breast: BreastMask | None = None
    record: dict[str, Any] = field(default_factory=dict)  # step → what it did

    def record_step(self, step: str, **what: Any) -> Mammogram:
        return replace(self, record={**self.record, step: what})

    def crop(self, step: str, rows: slice, columns: slice) -> Mammogram:
        """Between the first and before the last row and column, noted as that step's doing."""
        box = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
        return replace(
            self.record_step(step, **box), image=self.image[rows, columns], geometry=self.geometry.crop(rows, columns)
        )

    def locate_breast(self) -> tuple[Mammogram, BreastMask]:
        if self.breast is not None:
            return self, self.breast
        breast = find_breast(self.image, self.geometry)
        return replace(self, breast=breast), breast
