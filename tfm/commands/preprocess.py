"""Preprocess the images of a dataset once

Finds the breast, removes labels and film border, flips all breasts to one side, crops and resizes, by the steps of a
preset. The result is a cache: arrays on disk that every model trains from.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfm.core.registry import Stage
from tfm.core.settings.base import NOT_IN_RUN_KEY, NoEffectWhen, ProductName, Settings
from tfm.data.settings import DatasetWithImages, OnBadImage
from tfm.imaging.settings import ChainSettings
from tfm.training.settings import DEFAULT_SEED, AugmentSettings


class Preprocess(Settings):
    dataset: DatasetWithImages

    cache: ProductName | None = None
    """What do you want to call the cache?
    If empty: the names of dataset and preset, plus a few letters if a step differs from the preset."""

    workers: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], NOT_IN_RUN_KEY] = "auto"
    """How many processes should be used?
    auto: one per core, fewer for few images or little memory. Each needs up to 600 MB."""

    on_bad_image: OnBadImage = "leave out"
    """What should happen to images that cannot be preprocessed: leave out or stop?
    leave out: the others are used; the cache and every figure say how many are missing. stop: no cache is made."""

    chain: ChainSettings

    write_augmented: Annotated[int, Field(ge=0, le=100)] = 0
    """How many augmented copies of each training image should be written as files?
    Only for inspection or other programs: training augments each epoch anew."""

    augmentation: Annotated[AugmentSettings, NoEffectWhen("write_augmented", 0)] = AugmentSettings()

    seed: Annotated[int, NoEffectWhen("write_augmented", 0)] = DEFAULT_SEED
    """Seed of the augmented copies
    With the seed of a training, copy 1 is what its first epoch sees."""

    @model_validator(mode="after")
    def _check_augmentation_is_on(self) -> Self:
        if self.write_augmented and not self.augmentation.augment:
            raise ValueError("augmented copies need augmentation, which is switched off")
        return self


COMMAND = Stage(
    settings=Preprocess,
    pipeline="tfm.pipelines.preprocess:preprocess",
    version=8,
    presets="preprocess",
    default_preset="fast",
    trial="contact-sheet",
)
