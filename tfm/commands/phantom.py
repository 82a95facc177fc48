"""Write a small synthetic download to practise on

Phantoms look like mammograms and are organized like CBIS-DDSM, but show no real patient: they test the program and a
study's workflow, and say nothing about real performance.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfm.core.registry import Stage, import_object
from tfm.core.settings.base import IMPORTANT, POSITIONAL, OutputPath, Settings


class Phantom(Settings):
    out: Annotated[OutputPath, POSITIONAL]
    """Where do you want to write the synthetic download?
    A new or empty folder."""

    layout: Literal["nbia", "nbia-2020", "nbia-2019", "classic", "mirror", "kaggle"] = "nbia"
    """Which folder layout should the download have?
    nbia: NBIA Data Retriever today; nbia-2020 and nbia-2019: its older versions; classic: its folders named by UID;
    mirror: a copy by study, series and file UID; kaggle: the JPEG copy with its tables."""

    train_women: Annotated[int, Field(ge=1, le=5000), IMPORTANT] = 60
    """How many patients should be for training?
    Each has one breast with a finding, in two views."""

    test_women: Annotated[int, Field(ge=1, le=5000), IMPORTANT] = 20
    """How many patients should be for testing?"""

    kinds: tuple[Literal["mass", "calc"], ...] = ("mass", "calc")
    """Which kinds of lesion should it contain: mass, calc or both?"""

    height: Annotated[int, Field(ge=256, le=4000)] = 1024
    """How high should a mammogram be, in pixels?
    Real ones have about 5000."""

    difficulty: Annotated[float, Field(ge=0, le=1), IMPORTANT] = 0.3
    """How hard should it be to tell benign from malignant, from 0 to 1?"""

    traps: Annotated[str, IMPORTANT] = "none"
    """Which defects of CBIS-DDSM should be planted: none, all, or names separated by commas?
    Line feeds in paths, wrong file names, masks of another size, patients in both splits, duplicate scans and more."""

    shuffle_labels: bool = False
    """Shuffle the labels over the patients?
    A control: there is nothing to learn from such a download, and an honest program reports an AUC near 0.5."""

    seed: int = 0
    """Seed of everything random
    The same seed gives the same files, byte for byte."""

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        """Some defects need both kinds of lesion, or enough patients."""
        import_object("tfm.pipelines.phantom:build_plan")(self)
        return self


COMMAND = Stage(settings=Phantom, pipeline="tfm.pipelines.phantom:write_phantoms", version=1)
