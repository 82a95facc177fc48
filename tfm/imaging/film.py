"""What a step is given and what it gives back: pixels, where the breast is, where the lesions are, what was done.

How films are read stands in `dicom`, what is done to them in `steps/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Film:
    """All arrays have one height and width, and no step writes into those it was given."""

    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray  # (H, W) bool
    lesions: np.ndarray  # (H, W) uint8, 0 where there is none, else the lesion's class
    record: dict[str, Any] = field(default_factory=dict)  # "pixels" → hash of what was read; step → what it did
