"""Settings that choose images, shared by several commands. Each is written once, with its text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.settings.base import CacheName, DatasetName, DatasetWithFiles, InputFolder

BY_PATIENT, BY_IMAGE, AUGMENT_THEN_SPLIT, CHOSEN_ON_TEST = "by-patient", "by-image", "augment-then-split", "on-test"
WayToSplit = Literal["by-patient", "by-image", "augment-then-split", "on-test"]  # the first is honest
OnBadImage = Literal["leave out", "stop"]
DatasetWithImages = Annotated[DatasetWithFiles, Field(description="Which dataset do you want to use?")]
TrainingDataset = Annotated[
    DatasetName,
    Field(description="Which dataset do you want to use?\nIts split decides which patients train, validate and test."),
]
TrainingCache = Annotated[CacheName, Field(description="Which cache of preprocessed images do you want to use?")]
ValidationFold = Annotated[
    int,
    Field(
        ge=1,
        description="Which fold should be for validation?\n"
        "The other folds are for training. A dataset without folds has fold 1 only: its own split.",
    ),
]
ExtraFolders = Annotated[
    tuple[InputFolder, ...],
    Field(
        description="Which folders contain more mammograms, without labels?\nDICOM, PNG, JPEG or TIFF; separate "
        "several by commas. They are preprocessed once by the steps of the chosen cache. Unreadable files, files that "
        "are no whole mammogram, duplicates of the dataset and, if a file names its patient, patients of validation "
        "and test are left out and listed."
    ),
]
