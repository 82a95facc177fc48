"""Labels, tape, handwriting and film frame become black; the skin line, inside the dilated breast mask, stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Annotations


def apply(film: Film, settings: Annotations) -> Film:
    return replace(film, image=np.where(film.breast, film.image, film.image.dtype.type(0)))
