"""Organize a download into a dataset."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfm.commands.organize import COMMAND, Organize
from tfm.core import files, hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.registry import InspectionResult
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_non_default_values
from tfm.data.dataset import audit, dataset, invariants, writer
from tfm.data.dataset.dataset_plan import DatasetPlan, plan_dataset
from tfm.data.dataset.source_images import DatasetSettings
from tfm.data.download.notices import Notice
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.known_collections import AUTO, COLLECTIONS, find_collection

_DEFAULT_NAME = Organize.model_fields["name"].default


def inspect_download(given: Mapping[str, Any], workspace: Workspace) -> Iterator[Event | InspectionResult]:
    """Show what the download contains, and settle the questions that it answers."""
    listing = Listing(tuple(given["download"]), tuple(given.get("csv", ())), workspace.index_file)
    collection = find_collection(given.get("collection", AUTO), listing)
    options = {name: given[name] for name in vars(ReadingOptions()) if name in given}
    found = yield from collection.inspect(listing, ReadingOptions(**options))
    name = collection.facts.name
    fixed = {"collection": name} | ({} if name == _DEFAULT_NAME else {"name": name}) | found.fixed
    reasons = {"collection": f"the download has {collection.table}"} | found.reasons
    yield InspectionResult(fixed, found.choices, reasons)


def preview(settings: Organize, workspace: Workspace) -> Iterator[Event]:
    settings, _, plan = yield from _plan_dataset(settings, workspace)
    writer.refuse_replacing(workspace.dataset_folder(settings.name), plan)
    invariants.check_invariants(plan)
    yield _build_count_table(
        "The dataset will contain", "split", audit.count_splits(plan.manifest), f"Protocol: {plan.protocol}."
    )
    yield from _warn_if_too_few(plan.notices)


def _plan_dataset(
    settings: Organize, workspace: Workspace
) -> Generator[Event, None, tuple[Organize, tuple[Path, ...], DatasetPlan]]:
    """Return the settings as they hold for this collection, the folders and files that are read, and the plan."""
    listing = Listing(tuple(settings.download), settings.csv, workspace.index_file)
    collection = find_collection(settings.collection, listing)
    settings = _settle_collection(settings, collection)
    options = ReadingOptions(**{name: getattr(settings, name) for name in vars(ReadingOptions())})
    images = yield from collection.read(listing, options)
    choices = DatasetSettings(settings.split, settings.val_share, settings.split_seed, settings.link == "png")
    return settings, collection.list_sources(listing), plan_dataset(images, choices)


def _settle_collection(settings: Organize, collection: Collection) -> Organize:
    """Name the dataset after its collection unless it was given a name. Refuse settings that have no effect in it, and
    the name of another collection."""
    name = collection.facts.name
    if settings.name not in (name, _DEFAULT_NAME) and settings.name in COLLECTIONS:
        raise SettingsError(
            f"{settings.name} is the name of another collection than {collection.facts.title}",
            hint=f"give the dataset another name: {hints.setting('name', name)}",
            fields=("name",),
        )
    return resolve(Organize, {}, {"name": name} | collect_non_default_values(settings) | {"collection": name})


def organize(settings: Organize, run: Run) -> Iterator[Event]:
    settings, downloads, plan = yield from _plan_dataset(settings, run.workspace)
    yield from plan.source.report_gaps()
    yield from _warn_if_too_few(plan.notices)
    with run.workspace.lock_product("dataset", settings.name) as folder:
        writer.refuse_replacing(folder, plan)
        writing = writer.organize_dataset(
            folder,
            plan,
            downloads=downloads,
            link=settings.link,
            version=COMMAND.version,
            on_bad_image=settings.on_bad_image,
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


def _warn_if_too_few(findings: Sequence[Notice]) -> Iterator[Note]:
    thin = [f"{found.words} in {found.subject}" for found in findings if found.kind == "thin"]
    if thin:
        yield Note(f"{', '.join(thin)}: too few images to train or evaluate", "warning")


def _report_dataset(account: dict[str, Any], folder: Path) -> Iterator[Event]:
    yield _build_count_table("The dataset", "split", account["splits"], f"Protocol: {account['protocol']}.")
    yield _build_count_table("The download", audit.PART_COLUMN, account["download"], "")
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
