"""Organize a download into train/val/test × benign/malignant

Reads the CSVs and every header below the download, joins them, keeps each woman in one split, and writes an audit of
everything that was missing, broken or repaired. The download itself is never touched.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.registry import Outlook, stage
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, InputPath, ProductName, Settings

if TYPE_CHECKING:
    from tfm.data.dataset.dataset_plan import DatasetPlan, DatasetSettings
    from tfm.data.download.catalog import Catalog
    from tfm.data.download.notices import Notice
    from tfm.data.download.read_download import DownloadContents


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

    def kinds(self) -> tuple[str, ...]:
        return ("mass", "calc") if self.lesions == "both" else (self.lesions,)

    def choices(self) -> DatasetSettings:
        from tfm.data.dataset.dataset_plan import DatasetSettings

        return DatasetSettings(
            images=self.images,
            split=self.split,
            without_callback=self.without_callback,
            val_share=self.val_share,
            seed=self.split_seed,
            as_png=self.link == "png",
        )


def look(given: Mapping[str, Any], workspace: Workspace) -> Iterator[Event | Outlook]:
    """What the folders hold, and which questions that leaves open."""
    from tfm.data.dataset import audit
    from tfm.data.dataset.dataset_plan import ROLES
    from tfm.data.download import folders as download
    from tfm.data.download import read_download

    found = yield from read_download.read_download(given["download"], given.get("csv", ()), workspace.index_file)
    kinds = sorted(set(found.cases["kind"]), reverse=True)
    catalog = read_download.build_catalog(found, kinds)
    layouts = ", ".join(download.describe_layouts(header.path for header in found.headers))
    yield _counted(
        "Found", "CSV", audit.count_expected_and_found(catalog.lesions), f"{len(found.headers)} files: {layouts}"
    )
    yield from _warned(catalog, "image")
    settled, reasons = {}, {}
    if len(kinds) == 1:
        settled["lesions"] = kinds[0]
        reasons["lesions"] = "no CSV of the other kind was found"
    here = {images: role for images, role in ROLES.items() if (catalog.lesions[f"{role}_file"] != "").any()}
    if len(here) == 1:
        settled["images"] = next(iter(here))
        reasons["images"] = "there are no others here"
    if not any(catalog.has_test(role) for role in here.values()):
        settled["split"] = "random"
        reasons["split"] = "nothing of the official test is here"
        yield Note("nothing of TCIA's test is here: the split will be random, and every figure will say so", "warning")
    yield Outlook(settled=settled, offered={name: [value] for name, value in settled.items()}, reasons=reasons)


def preview(settings: Organize, workspace: Workspace) -> Iterator[Event]:
    from tfm.data.dataset import audit, invariants, writer

    _, catalog, plan = yield from _arranged(settings, workspace)
    writer.refuse_replacing(workspace.dataset_folder(settings.name), catalog, plan)
    invariants.check_invariants(catalog, plan)
    yield _counted("Will be made", "split", audit.count_splits(plan.manifest), f"Protocol: {plan.protocol}.")
    yield from _thin(plan.findings)


def _arranged(
    settings: Organize, workspace: Workspace
) -> Generator[Event, None, tuple[DownloadContents, Catalog, DatasetPlan]]:
    from tfm.data.dataset import dataset_plan
    from tfm.data.download import read_download

    found = yield from read_download.read_download(settings.download, settings.csv, workspace.index_file)
    catalog = read_download.build_catalog(found, settings.kinds())
    return found, catalog, dataset_plan.plan_dataset(catalog, settings.choices())


def reads_besides(settings: Organize) -> list[Path]:
    from tfm.data.download import folders as download

    return download.find_implicit_inputs(settings.download, settings.csv)


@stage(version=4, look=look, preview=preview, reads_besides=reads_besides)
def organize(settings: Organize, run: Run) -> Iterator[Event]:
    from tfm.core import files
    from tfm.data.dataset import dataset
    from tfm.data.dataset import writer as organizing

    found, catalog, plan = yield from _arranged(settings, run.workspace)
    yield from _warned(catalog, plan.choices.role)
    yield from _thin(plan.findings)
    with run.workspace.lock_product("dataset", settings.name) as folder:
        organizing.refuse_replacing(folder, catalog, plan)
        writing = organizing.organize_dataset(
            folder, catalog, plan, downloads=found.sources, link=settings.link, version=organize.version
        )
        for done, total in writing:
            yield Progress("images", done, total, "images")
    account = files.read_json(folder / dataset.AUDIT)
    yield from _told(account, folder)
    outputs = [str(folder / name) for name in dataset.DATASET_DOCUMENTS if (folder / name).exists()]
    yield Result({"dataset": settings.name, "protocol": account["protocol"], "splits": account["splits"]}, outputs)


def _counted(title: str, corner: str, counts: Mapping[str, Mapping[str, int]], caption: str) -> Table:
    first = next(iter(counts.values()))
    rows = [[name, *map(str, row.values())] for name, row in counts.items()]
    return Table(title, [corner, *(column.replace("_", " ") for column in first)], rows, caption)


def _warned(catalog: Catalog, role: str) -> Iterator[Note]:
    """What a partial download costs."""
    from tfm.data.sources.cbis_ddsm import IMAGE_KEY

    for found in catalog.findings:
        if found.kind == "note":
            yield Note(f"{found.subject} {found.words}")
    absent = [found.subject for found in catalog.findings if found.kind == "no-csv"]
    if absent:
        yield Note(f"no cases for {', '.join(absent)}: going on with what is there", "warning")
    rows, what = (
        (catalog.lesions, "crops") if role == "crop" else (catalog.lesions.drop_duplicates(IMAGE_KEY), "mammograms")
    )
    lost = int((rows[f"{role}_file"] == "").sum())
    if lost:
        yield Note(f"{lost} of {len(rows)} {what} are not here whole: a comparison on the rest says less", "warning")


def _thin(findings: Sequence[Notice]) -> Iterator[Note]:
    thin = [f"{found.words} in {found.subject}" for found in findings if found.kind == "thin"]
    if thin:
        yield Note(f"{', '.join(thin)}: too little of the download is here to learn or to measure", "warning")


def _told(account: dict[str, Any], folder: Path) -> Iterator[Event]:
    from tfm.data.dataset import audit, dataset

    proven = f"Protocol: {account['protocol']}. Women in two splits: {account['leaks']} (proven)."
    yield _counted("The dataset", "split", account["splits"], proven)
    yield _counted("The download", "CSV", account["download"], "")
    noticed = audit.count_findings(account)
    if noticed:
        yield Table("What was noticed", ["finding", "how often"], [[kind, str(count)] for kind, count in noticed])
    yield Note(f"each finding by name, and every repair: {folder / dataset.AUDIT_TEXT}")
    if (folder / dataset.MISSING).exists():
        count = account["series"]["to fetch again"]
        yield Note(
            f"NBIA Data Retriever fetches just the {count} series that are missing with {folder / dataset.MISSING}"
        )
