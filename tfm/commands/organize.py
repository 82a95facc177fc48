"""Organize a download into train/val/test × benign/malignant

Reads the CSVs and every header below the download, joins them, keeps each woman in one split, and writes an audit of
everything that was missing, broken or repaired. The download itself is never touched.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, InputPath, ProductName, Settings


class Organize(Settings):
    download: Annotated[list[InputPath], POSITIONAL, Field(min_length=1)]
    """Which folder holds the download?
    What NBIA Data Retriever wrote, a mirror of it, or Kaggle's copy, with the CSVs below it or beside it. Several
    folders are one download (in a form: commas between). A text file is taken as a list: a path a line."""

    csv: tuple[InputPath, ...] = ()
    """Where are the case CSVs, if not below the download?
    Files or folders, commas between."""

    name: Annotated[ProductName, IMPORTANT] = "cbis-ddsm"
    """What should the dataset be called?"""

    lesions: Annotated[Literal["mass", "calc", "both"], IMPORTANT] = "both"
    """Which lesions: masses, calcifications or both
    With both, women who are in the training files of one kind and the test files of the other stay in test alone."""

    images: Annotated[Literal["full", "crops"], IMPORTANT] = "full"
    """What one image is
    full: a whole mammogram, malignant if any of its lesions is. crops: one cut-out a lesion, without a mask, since
    where it lies in its mammogram is not recorded."""

    split: Annotated[Literal["official", "random", "kfold"], IMPORTANT] = "official"
    """Which split
    official: TCIA's own test set stays sealed. random: 70/15/15 by woman, for a download without official test rows.
    kfold: five folds over the training women, of which the first validates, TCIA's test sealed."""

    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the women who become the validation set
    official: of those who are not in TCIA's test; random: of all. With kfold each fold has a fifth."""

    without_callback: Literal["benign", "left out"] = "benign"
    """What to do with BENIGN_WITHOUT_CALLBACK
    Findings so plainly benign that nobody was called back for them."""

    link: Literal["hard", "symlink", "copy", "png"] = "hard"
    """How the images get into the dataset
    Hard links take no space. Where a disk cannot link, files are copied, and the audit says so. png: the same pixels,
    16 bit and without loss, for programs that open no DICOM."""

    split_seed: int = 0
    """Seed of the split"""


COMMAND = Stage(
    settings=Organize,
    pipeline="tfm.pipelines.organize:organize",
    version=4,
    look="tfm.pipelines.organize:look",
    preview="tfm.pipelines.organize:preview",
    extra_inputs="tfm.pipelines.organize_inputs:list_extra_inputs",
)
