"""See on a few films what preprocessing and augmentation do

Two contact sheets: the film after each step of a preset, and what a training may see of the prepared image.
Nothing of it is kept for training.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.schema import DatasetWithFiles, Settings
from tfm.imaging.settings import ChainSettings
from tfm.training.settings import DEFAULT_SEED, AugmentSettings


class ContactSheet(Settings):
    dataset: DatasetWithFiles
    """Which dataset?"""

    images: tuple[str, ...] = ()
    """Which images? (by image_id; empty: some are drawn)
    The manifest names them all: take those you know to be difficult."""

    count: Annotated[int, Field(ge=1, le=24)] = 4
    """How many to draw, where none is named
    Of the training images, benign and malignant ones, of each view in turn."""

    seed: int = DEFAULT_SEED
    """Seed of what is drawn: another one shows other images and other changes"""

    chain: ChainSettings
    augmentation: AugmentSettings = AugmentSettings()


COMMAND = Stage(
    settings=ContactSheet,
    pipeline="tfm.pipelines.contact_sheet:draw_contact_sheets",
    version=1,
    presets="preprocess",
    default_preset="fast",
)
