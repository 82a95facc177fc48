"""Organize a download into train/val/test × benign/malignant

Reads the CSVs and every DICOM header below the download, joins them, keeps each woman in one split, and writes an
audit of everything that was missing, broken or repaired. The download itself is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.registry import stage
from tfm.core.run import Run
from tfm.core.settings import IMPORTANT, POSITIONAL, InputPath, Settings


class Organize(Settings):
    download: Annotated[list[InputPath], POSITIONAL, Field(min_length=1)]
    """Which folder holds the download?
    What NBIA Data Retriever wrote, with the CSVs below it or beside it. Several folders: commas between."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$"), IMPORTANT] = "cbis-ddsm"
    """What should the dataset be called?"""

    lesions: Annotated[Literal["mass", "calc", "both"], IMPORTANT] = "both"
    """Which lesions: masses, calcifications or both
    With both, women who are in the training files of one kind and the test files of the other stay in test alone."""

    split: Annotated[Literal["official", "random"], IMPORTANT] = "official"
    """Which split
    official: TCIA's own test set stays sealed. random: 70/15/15 by woman, for a download without official test rows."""

    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the training women who become the validation set"""

    without_callback: Literal["benign", "left out"] = "benign"
    """What to do with BENIGN_WITHOUT_CALLBACK
    Findings so plainly benign that nobody was called back for them."""

    link: Literal["hard", "symlink", "copy"] = "hard"
    """How the images get into the dataset
    Hard links take no space. Where a disk cannot link, files are copied, and the audit says so."""

    split_seed: int = 0
    """Seed of the split"""


@stage(version=1)
def organize(settings: Organize, run: Run) -> Iterator[Event]:
    from tfm.core import files
    from tfm.data import arrange, catalog, dataset, headers, organize, tables

    kinds = ("mass", "calc") if settings.lesions == "both" else (settings.lesions,)
    found_cases = tables.read_cases(tables.find_case_files(settings.download))
    cases = tables.of_kinds(found_cases, kinds)
    absent = tables.absent_files(found_cases, kinds)
    if absent:
        yield Note(f"no cases for {', '.join(one.subject for one in absent)}: going on with what is there", "warning")
    paths = headers.dicom_files(settings.download)
    found = []
    for header in headers.read_headers(paths):
        found.append(header)
        yield Progress("headers", len(found), len(paths), "files")
    joined = catalog.join(cases, found, absent)
    arrangement = arrange.arrange(
        joined,
        split=settings.split,
        without_callback=settings.without_callback,
        val_share=settings.val_share,
        seed=settings.split_seed,
    )
    with run.workspace.making("dataset", settings.name) as folder:
        organize.refuse_replacing(folder, joined, arrangement)
        writing = organize.organize_dataset(
            folder, joined, arrangement, downloads=settings.download, link=settings.link
        )
        for done, total in writing:
            yield Progress("images", done, total, "images")
    account = files.read_json(folder / dataset.AUDIT)
    yield from _told(account, folder / dataset.AUDIT_TEXT)
    outputs = [str(folder / name) for name in (dataset.MANIFEST, dataset.AUDIT, dataset.AUDIT_TEXT)]
    yield Result({"dataset": settings.name, "protocol": account["protocol"], "splits": account["splits"]}, outputs)


def _told(account: dict[str, Any], text: Path) -> Iterator[Event]:
    first = next(iter(account["splits"].values()))
    rows = [[split, *map(str, counts.values())] for split, counts in account["splits"].items()]
    columns = ["split", *(name.replace("_", " ") for name in first)]
    proven = f"Protocol: {account['protocol']}. Women in two splits: {account['leaks']} (proven)."
    yield Table("The dataset", columns, rows, proven)
    kinds = Counter(finding["kind"] for finding in account["findings"])
    if kinds:
        yield Table("What was noticed", ["finding", "how often"], [[kind, str(n)] for kind, n in kinds.items()])
    yield Note(f"each finding by name, and every repair: {text}")
