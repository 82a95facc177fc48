"""From a film to a training image: the steps of a chain, one after the other.

A step's file is found by its name; what a chain may hold is said in `settings`, where its results go is the cache's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from tfm.core.settings import Settings
from tfm.imaging.breast import breast_mask
from tfm.imaging.dicom import read_pixels
from tfm.imaging.film import Film
from tfm.imaging.settings import ChainSettings


def run_chain(film: Film, steps: Mapping[str, Settings]) -> Film:
    """Step → its settings, run in the mapping's order."""
    for name, settings in steps.items():
        film = import_module(f"tfm.imaging.steps.{name}").apply(film, settings)
    return film


def preprocess_one(path: Path, lesion_mask_path: Path | None, chain: ChainSettings) -> Film:
    image = read_pixels(path)
    lesions: np.ndarray = np.zeros(image.shape, np.uint8)
    if lesion_mask_path is not None:
        lesions = read_pixels(lesion_mask_path)
        if lesions.shape != image.shape:  # CBIS-DDSM draws some masks at another size than their mammogram
            lesions = cv2.resize(lesions, image.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    read = {"pixels": hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest()}
    return run_chain(Film(image, breast_mask(image), lesions, read), chain.chosen())
