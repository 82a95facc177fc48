"""The settings that choose the images of a training. Every command that trains shares them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.settings.schema import CacheName, DatasetName

TrainingDataset = Annotated[
    DatasetName, Field(description="Which dataset?\nIts split decides which patients train, validate and test.")
]
TrainingCache = Annotated[CacheName, Field(description="Which cache of preprocessed images?")]
ValidationFold = Annotated[
    int,
    Field(
        ge=1,
        description="Which fold is for validation?\n"
        "The other folds are for training. A dataset without folds has fold 1 only: its own split.",
    ),
]
