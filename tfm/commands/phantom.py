"""Draw a small synthetic download to practise on

Phantoms look like mammograms and stand in folders as CBIS-DDSM's do, but no patient was ever there: they show that the
program works and how a study is done, and say nothing about real performance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tfm.core.events import Event, Note, Progress, Result
from tfm.core.registry import stage
from tfm.core.runs.run import Run
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, OutputPath, Settings

if TYPE_CHECKING:
    from tfm.data.phantom.spec import DownloadPlan


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
        self.plan()
        return self

    def plan(self) -> DownloadPlan:
        from tfm.data.phantom.cohort import plan_download
        from tfm.data.phantom.traps import parse_traps

        return plan_download(
            train_women=self.train_women,
            test_women=self.test_women,
            kinds=self.kinds,
            height=self.height,
            difficulty=self.difficulty,
            traps=parse_traps(self.traps),
            shuffle_labels=self.shuffle_labels,
            seed=self.seed,
            layout=self.layout,
        )


@stage(version=1)
def phantom(settings: Phantom, run: Run) -> Iterator[Event]:
    from tfm.data.phantom.writer import write_download

    plan = settings.plan()
    total = 0
    for done, total in write_download(plan, settings.out):
        yield Progress("phantoms", done, total, "images")
    yield Note(
        f"{total} synthetic mammograms under {settings.out}. No patients: they say nothing about real performance."
    )
    yield Result(
        {"download": str(settings.out), "mammograms": total},
        outputs=sorted(str(path) for path in settings.out.rglob("*") if path.is_file()),
    )
