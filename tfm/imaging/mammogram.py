"""What a step is given and what it gives back: pixels, where they lie on the film, where the breast is, what was done.

How films are read stands in `pixels`, what is done to them in `steps/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tfm.imaging.breast_mask import Breast, find_breast
from tfm.imaging.geometry import Geometry


@dataclass(frozen=True)
class Film:
    """No step writes into the pixels it was given. The breast is found when a step first asks for it, in the image as
    it is by then: polarity and border may be put right before."""

    image: np.ndarray  # (H, W) uint8 or uint16
    geometry: Geometry = field(default_factory=Geometry)
    breast: Breast | None = None
    record: dict[str, Any] = field(default_factory=dict)  # step → what it did

    def noting(self, step: str, **what: Any) -> Film:
        return replace(self, record={**self.record, step: what})

    def cropped(self, step: str, rows: slice, columns: slice) -> Film:
        """Between the first and before the last row and column, noted as that step's doing."""
        box = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
        return replace(
            self.noting(step, **box), image=self.image[rows, columns], geometry=self.geometry.cropped(rows, columns)
        )

    def with_breast(self) -> tuple[Film, Breast]:
        if self.breast is not None:
            return self, self.breast
        breast = find_breast(self.image, self.geometry)
        return replace(self, breast=breast), breast
