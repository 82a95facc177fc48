"""Drawn mammograms with known breast and lesions, for the tests of `tfm.imaging`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfm.core.files import read_yaml
from tfm.core.settings.base import Settings
from tfm.core.settings.resolve import resolve
from tfm.data.phantom.download_plan import Exposure, Lesion
from tfm.data.phantom.mammogram import Phantom, draw_mammogram
from tfm.imaging.breast_mask import find_breast
from tfm.imaging.chain import apply_steps
from tfm.imaging.geometry import Geometry
from tfm.imaging.mammogram import Mammogram
from tfm.imaging.project_lesion_mask import project_lesions
from tfm.imaging.settings import ChainSettings

PRESETS = Path(__file__).resolve().parents[2] / "configs" / "preprocess"


def draw_phantom(side: str, kind: str = "mass", view: str = "CC", height: int = 400) -> Phantom:
    return draw_mammogram(Exposure(2, "P_00007", side, view, 2, height, 0.1, (Lesion(1, kind, malignant=True),)))  # type: ignore[arg-type]


def resolve_chain(preset: str, **given: object) -> ChainSettings:
    return resolve(ChainSettings, read_yaml(PRESETS / f"{preset}.yaml")["settings"], given)


def apply_all(film: Mammogram, steps: Mapping[str, Settings]) -> Mammogram:
    """What the last step makes."""
    return [film, *(made for _, made in apply_steps(film, steps))][-1]


def compute_breast_mask(image: np.ndarray) -> np.ndarray:
    """image (H, W) uint8 or uint16, brighter is denser → (H, W) bool."""
    return find_breast(image, Geometry()).render(Geometry(), image.shape)


def find_breast_mask(film: Mammogram) -> np.ndarray:
    """(H, W) bool, as the film lies now."""
    _, breast = film.locate_breast()
    return breast.render(film.geometry, film.image.shape)


def project_drawn_lesions(film: Mammogram, drawn: np.ndarray) -> np.ndarray:
    """What was drawn on the film as it was read, as the film shows it now."""
    return project_lesions(drawn, drawn.shape, film.geometry, film.image.shape)
