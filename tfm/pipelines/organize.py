"""Organize a download into a dataset."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfm.commands.organize import COMMAND, Organize
from tfm.core import files, hints
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.registry import InspectionResult
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset import audit, dataset, dataset_plan, invariants, writer
from tfm.data.dataset import writer as organizing
from tfm.data.dataset.dataset_plan import ROLES, DatasetPlan, DatasetSettings
from tfm.data.download import find_files as download
from tfm.data.download import read_download
from tfm.data.download.match_files import Catalog
from tfm.data.download.notices import Notice
from tfm.data.download.read_download import DownloadContents
from tfm.data.sources.cbis_ddsm import IMAGE_KEY


def inspect_download(given: Mapping[str, Any], workspace: Workspace) -> Iterator[Event | InspectionResult]:
    """Show what the download contains, and settle the questions that it answers."""
    found = yield from read_download.read_download(given["download"], given.get("csv", ()), workspace.index_file)
    kinds = sorted(set(found.cases["kind"]), reverse=True)
    catalog = read_download.build_catalog(found, kinds)
    layouts = ", ".join(download.describe_layouts(header.path for header in found.headers))
    yield _build_count_table(
        "Found", "CSV", audit.count_expected_and_found(catalog.lesions), f"{len(found.headers)} files: {layouts}"
    )
    yield from _report_missing_images(catalog, "image")
    fixed, reasons = {}, {}
    if len(kinds) == 1:
        fixed["lesions"] = kinds[0]
        reasons["lesions"] = "no CSV of the other kind was found"
    here = {images: role for images, role in ROLES.items() if (catalog.lesions[f"{role}_file"] != "").any()}
    if len(here) == 1:
        fixed["images"] = next(iter(here))
        reasons["images"] = "the download has no others"
    if not any(catalog.has_test(role) for role in here.values()):
        fixed["split"] = "random"
        reasons["split"] = "the download has no official test images"
        yield Note(
            "no image of TCIA's test set was found: the split will be random, and every figure will state it", "warning"
        )
    yield InspectionResult(fixed=fixed, choices={name: [value] for name, value in fixed.items()}, reasons=reasons)


def preview(settings: Organize, workspace: Workspace) -> Iterator[Event]:
    _, catalog, plan = yield from _plan_dataset(settings, workspace)
    writer.refuse_replacing(workspace.dataset_folder(settings.name), catalog, plan)
    invariants.check_invariants(catalog, plan)
    yield _build_count_table(
        "The dataset will contain", "split", audit.count_splits(plan.manifest), f"Protocol: {plan.protocol}."
    )
    yield from _warn_if_too_few(plan.notices)


def _plan_dataset(
    settings: Organize, workspace: Workspace
) -> Generator[Event, None, tuple[DownloadContents, Catalog, DatasetPlan]]:
    found = yield from read_download.read_download(settings.download, settings.csv, workspace.index_file)
    kinds = ("mass", "calc") if settings.lesions == "both" else (settings.lesions,)
    catalog = read_download.build_catalog(found, kinds)
    choices = DatasetSettings(
        images=settings.images,
        split=settings.split,
        without_callback=settings.without_callback,
        val_share=settings.val_share,
        seed=settings.split_seed,
        as_png=settings.link == "png",
    )
    return found, catalog, dataset_plan.plan_dataset(catalog, choices)


def organize(settings: Organize, run: Run) -> Iterator[Event]:
    found, catalog, plan = yield from _plan_dataset(settings, run.workspace)
    yield from _report_missing_images(catalog, plan.choices.role)
    yield from _warn_if_too_few(plan.notices)
    with run.workspace.lock_product("dataset", settings.name) as folder:
        organizing.refuse_replacing(folder, catalog, plan)
        writing = organizing.organize_dataset(
            folder, catalog, plan, downloads=found.sources, link=settings.link, version=COMMAND.version
        )
        for done, total in writing:
            yield Progress("images", done, total, "images")
    account = files.read_json(folder / dataset.AUDIT)
    yield from _report_dataset(account, folder)
    outputs = [str(folder / name) for name in dataset.DATASET_DOCUMENTS if (folder / name).exists()]
    images, patients = len(plan.manifest), plan.manifest["patient_id"].nunique()
    yield Result(
        {"dataset": settings.name, "protocol": account["protocol"], "splits": account["splits"]},
        outputs,
        f"The dataset {settings.name} has {images} images of {patients} patients. No patient is in two splits.",
    )


def _build_count_table(title: str, corner: str, counts: Mapping[str, Mapping[str, int]], caption: str) -> Table:
    first = next(iter(counts.values()))
    rows = [[name, *map(str, row.values())] for name, row in counts.items()]
    return Table(title, [corner, *map(audit.label_column, first)], rows, caption)


def _report_missing_images(catalog: Catalog, role: str) -> Iterator[Note]:
    """Report what is missing from a partial download."""
    for found in catalog.notices:
        if found.kind == "note":
            yield Note(f"{found.subject} {found.words}")
    absent = [found.subject for found in catalog.notices if found.kind == "no-csv"]
    if absent:
        yield Note(f"no cases for {', '.join(absent)}: only the others are used", "warning")
    rows, what = (
        (catalog.lesions, "crops") if role == "crop" else (catalog.lesions.drop_duplicates(IMAGE_KEY), "mammograms")
    )
    lost = int((rows[f"{role}_file"] == "").sum())
    if lost:
        yield Note(
            f"{lost} of {len(rows)} {what} are missing or incomplete: results on the rest are less reliable", "warning"
        )


def _warn_if_too_few(findings: Sequence[Notice]) -> Iterator[Note]:
    thin = [f"{found.words} in {found.subject}" for found in findings if found.kind == "thin"]
    if thin:
        yield Note(f"{', '.join(thin)}: too few images to train or evaluate", "warning")


def _report_dataset(account: dict[str, Any], folder: Path) -> Iterator[Event]:
    proven = f"Protocol: {account['protocol']}. Patients in two splits: {account['leaks']}."
    yield _build_count_table("The dataset", "split", account["splits"], proven)
    yield _build_count_table("The download", "CSV", account["download"], "")
    noticed = audit.count_findings(account)
    if noticed:
        yield Table("Findings", ["finding", "count"], [[kind, str(count)] for kind, count in noticed])
    yield Note(f"all findings and repairs: {folder / dataset.AUDIT_TEXT}")
    if (folder / dataset.MISSING).exists():
        count = account["series"]["to fetch again"]
        yield Note(
            f"to fetch only the {count} missing series: {hints.command('download', missing_from=folder.name)}, or open "
            f"{folder / dataset.MISSING} in NBIA Data Retriever"
        )
