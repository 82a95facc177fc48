"""Show preprocessing and augmentation on a few images

Two contact sheets: the image after each step of a preset, and augmentations of the result. Nothing is kept for
training.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import Settings
from tfm.data.settings import DatasetWithImages
from tfm.imaging.settings import ChainSettings
from tfm.training.settings import DEFAULT_SEED, AugmentSettings


class ContactSheet(Settings):
    dataset: DatasetWithImages

    images: tuple[str, ...] = ()
    """Which images do you want to see? (image_id; if empty, some are drawn at random)
    The manifest lists every image_id. Choose images that you know to be difficult."""

    count: Annotated[int, Field(ge=1, le=24)] = 4
    """How many images should be drawn at random if none is named?
    They are training images, benign and malignant in turn, of both views."""

    seed: int = DEFAULT_SEED
    """Seed of the random choice
    Another seed shows other images and other augmentations."""

    chain: ChainSettings
    augmentation: AugmentSettings = AugmentSettings()


COMMAND = Stage(
    settings=ContactSheet,
    pipeline="tfm.pipelines.contact_sheet:draw_contact_sheets",
    version=1,
    presets="preprocess",
    default_preset="fast",
)
