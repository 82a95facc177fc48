"""Turn the films into training images, once

Breast found, labels and film border gone, all breasts facing one way, cropped and resized by the steps of a preset.
The result is a cache: arrays on disk that every model trains from.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfm.core.registry import Stage
from tfm.core.settings.schema import NOT_IN_RUN_KEY, DatasetWithFiles, NoEffectWhen, ProductName, Settings
from tfm.imaging.settings import ChainSettings
from tfm.training.settings import DEFAULT_SEED, AugmentSettings


class Preprocess(Settings):
    dataset: DatasetWithFiles
    """Which dataset?"""

    cache: ProductName | None = None
    """What should the cache be called?
    Empty: after its dataset and preset, with a few letters more where a step's settings aren't the preset's."""

    workers: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], NOT_IN_RUN_KEY] = "auto"
    """How many processes make images at the same time
    auto: one for each core, fewer for few images or little memory. Each needs up to 600 MB."""

    chain: ChainSettings

    write_augmented: Annotated[int, Field(ge=0, le=100)] = 0
    """How many augmented copies of each training image to write as files
    To look at, or for use elsewhere: training makes its own, anew each epoch; copy 1 is what its first epoch sees."""

    augmentation: Annotated[AugmentSettings, NoEffectWhen("write_augmented", 0)] = AugmentSettings()

    seed: Annotated[int, NoEffectWhen("write_augmented", 0)] = DEFAULT_SEED
    """Seed of the augmented copies, as in training"""

    @model_validator(mode="after")
    def _copies_are_changed(self) -> Self:
        if self.write_augmented and not self.augmentation.augment:
            raise ValueError("augmented copies are asked for, and augmentation is switched off")
        return self


COMMAND = Stage(
    settings=Preprocess,
    pipeline="tfm.pipelines.preprocess:preprocess",
    version=6,
    presets="preprocess",
    default_preset="fast",
    trial="contact-sheet",
)
