"""What a step takes and returns: pixels, their geometry, the breast mask, and a record of what was done.
Reading files is in `read_image`; the steps are in `steps/`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tfm.imaging.breast_mask import BreastMask, find_breast
from tfm.imaging.geometry import Geometry


@dataclass(frozen=True)
class Mammogram:
    """Steps never write into the pixels they are given.

    The breast is found when a step first asks for it, so that polarity and border can be corrected before.
    """

    image: np.ndarray  # (H, W) uint8 or uint16
    geometry: Geometry = field(default_factory=Geometry)
    breast: BreastMask | None = None
    record: dict[str, Any] = field(default_factory=dict)  # step → what it did

    def record_step(self, step: str, **facts: Any) -> Mammogram:
        return replace(self, record={**self.record, step: facts})

    def crop(self, step: str, rows: slice, columns: slice) -> Mammogram:
        """Crop to these rows and columns and record the box under the step's name."""
        box = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
        return replace(
            self.record_step(step, **box), image=self.image[rows, columns], geometry=self.geometry.crop(rows, columns)
        )

    def locate_breast(self) -> tuple[Mammogram, BreastMask]:
        """Return the breast mask, and this mammogram with the mask kept for later steps."""
        if self.breast is not None:
            return self, self.breast
        breast = find_breast(self.image, self.geometry)
        return replace(self, breast=breast), breast
