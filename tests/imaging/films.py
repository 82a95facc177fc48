"""Drawn films with the truth about them, for the tests of the imaging floor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfm.core.files import read_yaml
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import Settings
from tfm.data.phantom.mammogram import Phantom, draw
from tfm.data.phantom.spec import Exposure, Lesion
from tfm.imaging.chain import each_step
from tfm.imaging.lesion_mask import lesions_seen
from tfm.imaging.mammogram import Film
from tfm.imaging.settings import ChainSettings

PRESETS = Path(__file__).resolve().parents[2] / "configs" / "preprocess"


def phantom(side: str, kind: str = "mass", view: str = "CC", height: int = 400) -> Phantom:
    return draw(Exposure(2, "P_00007", side, view, 2, height, 0.1, (Lesion(1, kind, malignant=True),)))  # type: ignore[arg-type]


def chain(preset: str, **given: object) -> ChainSettings:
    return resolve(ChainSettings, read_yaml(PRESETS / f"{preset}.yaml")["settings"], given)


def run_chain(film: Film, steps: Mapping[str, Settings]) -> Film:
    """What the last step makes."""
    return [film, *(made for _, made in each_step(film, steps))][-1]


def breast_of(film: Film) -> np.ndarray:
    """(H, W) bool, as the film lies now."""
    _, breast = film.with_breast()
    return breast.mask(film.geometry, film.image.shape)


def lesions_of(film: Film, drawn: np.ndarray) -> np.ndarray:
    """What was drawn on the film as it was read, as the film shows it now."""
    return lesions_seen(drawn, drawn.shape, film.geometry, film.image.shape)
