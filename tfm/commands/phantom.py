"""Draw a small synthetic download to practise on

Phantoms look like mammograms and stand in folders as CBIS-DDSM's do, but no patient was ever there: they show that the
program works and how a study is done, and say nothing about real performance.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfm.core.registry import Stage, load
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, OutputPath, Settings


class Phantom(Settings):
    out: Annotated[OutputPath, POSITIONAL]
    """Where should the synthetic download go?
    A new or empty folder."""

    layout: Literal["nbia", "nbia-2020", "nbia-2019", "classic", "mirror", "kaggle"] = "nbia"
    """How should the download lie on the disk?
    nbia is what NBIA Data Retriever writes today, nbia-2020 and nbia-2019 what it wrote then, classic its folders named
    by UID, mirror a copy by study, series and file UID, kaggle the JPEG copy with its tables."""

    train_women: Annotated[int, Field(ge=1, le=5000), IMPORTANT] = 60
    """How many women for training
    Each has one breast with a finding, in two views."""

    test_women: Annotated[int, Field(ge=1, le=5000), IMPORTANT] = 20
    """How many women for testing"""

    kinds: tuple[Literal["mass", "calc"], ...] = ("mass", "calc")
    """Which kinds of lesion: mass, calc or both"""

    height: Annotated[int, Field(ge=256, le=4000)] = 1024
    """Height of a mammogram, in pixels
    Real ones have about 5000."""

    difficulty: Annotated[float, Field(ge=0, le=1), IMPORTANT] = 0.3
    """How hard to tell benign from malignant, from 0 to 1"""

    traps: Annotated[str, IMPORTANT] = "none"
    """Which of CBIS-DDSM's own traps to plant: none, all, or names with commas between
    Line feeds in paths, wrong file names, masks of another size, women in both splits, scans issued twice and more."""

    shuffle_labels: bool = False
    """Shuffle the labels over the women
    A control: nothing can be learned from such a download, and an honest program finds an AUC near 0.5."""

    seed: int = 0
    """Seed of everything drawn
    The same seed gives the same files, byte for byte."""

    @model_validator(mode="after")
    def _can_be_planned(self) -> Self:
        """Some traps need ground to stand on: both kinds of lesion, or enough women."""
        load("tfm.pipelines.phantom:build_plan")(self)
        return self


COMMAND = Stage(settings=Phantom, pipeline="tfm.pipelines.phantom:write_phantoms", version=1)
