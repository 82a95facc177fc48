"""Organize the collection of a clinic

A command for a collection that is not CBIS-DDSM. An example to copy: its settings to tfm/commands/, its function to
tfm/pipelines/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from tests.data.sources.clinic import read_catalog
from tfm.core.events import Event, Progress, Result
from tfm.core.registry import Stage
from tfm.core.runs.run import Run
from tfm.core.settings.base import IMPORTANT, POSITIONAL, InputFolder, ProductName, Settings
from tfm.data.dataset import writer
from tfm.data.dataset.dataset_plan import DatasetSettings, plan_dataset


class OrganizeClinic(Settings):
    folder: Annotated[InputFolder, POSITIONAL]
    """Which folder contains clinic.csv?"""

    name: Annotated[ProductName, IMPORTANT] = "clinic"
    """What do you want to call the dataset?"""

    split: Annotated[Literal["official", "random", "kfold"], IMPORTANT] = "random"
    """Which split do you want: official, random or kfold?
    official and kfold keep the test set of clinic.csv."""


COMMAND = Stage(settings=OrganizeClinic, pipeline="tests.toys.organize_clinic:organize", version=1)


def organize(settings: OrganizeClinic, run: Run) -> Iterator[Event]:
    catalog = read_catalog(settings.folder)
    choices = DatasetSettings(
        images="full", split=settings.split, without_callback="benign", val_share=0.15, seed=0, as_png=False
    )
    plan = plan_dataset(catalog, choices)
    with run.workspace.lock_product("dataset", settings.name) as folder:
        writer.refuse_replacing(folder, catalog, plan)
        for done, total in writer.organize_dataset(
            folder, catalog, plan, downloads=[settings.folder], link="hard", version=COMMAND.version
        ):
            yield Progress("images", done, total, "images")
    yield Result({"dataset": settings.name, "protocol": plan.protocol, "images": len(plan.planned)})
