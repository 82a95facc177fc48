"""Download a collection from the Imaging Data Commons."""

from __future__ import annotations

import itertools
import socket
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.commands import download as command
from tfm.core import files, hints, machine
from tfm.core.errors import BusyError, DiskError, HaltedError
from tfm.core.events import Event, Note, Result, Table
from tfm.core.runs.estimate_cache import EstimateCache, make_key
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.archive import fetch, index, nbia_names, selection
from tfm.data.archive.case_files import CASE_FILES, fetch_case_file, fetch_case_files
from tfm.data.archive.index import Series, Source
from tfm.data.archive.server import Server
from tfm.data.dataset.dataset import MISSING
from tfm.data.sources import cbis_ddsm, cmmd

_RESERVE = 1e9  # bytes of the disk that stay free
_MEASURED_SECONDS = 5.0  # a shorter download says nothing about the pace
_SHOWN_FAILURES = 20
_FAILURES = "not-downloaded.txt"


def preview(settings: command.Download, workspace: Workspace) -> Iterator[Event]:
    yield from _describe(settings, select_series(settings, workspace))


def select_series(settings: command.Download, workspace: Workspace) -> list[Series]:
    """Select without writing anything: tables that are not there yet are read from TCIA's pages."""
    found = index.read_series(index.find_index(), settings.collection)
    return _limit(settings, _select_parts(settings, workspace, found))


def download(settings: command.Download, run: Run) -> Iterator[Event]:
    folder = _get_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".download.lock", timeout=1):
            yield from _download(settings, run, folder)
    except Timeout:
        raise BusyError(
            f"another download is writing to {folder}", hint="wait until it is done, or choose another folder"
        ) from None


def _get_folder(settings: command.Download) -> Path:
    return settings.folder / settings.collection


def _download(settings: command.Download, run: Run, folder: Path) -> Iterator[Event]:
    collection = settings.collection
    files.remove_leftovers(folder)
    index_file = index.find_index()
    found = _select_parts(settings, run.workspace, index.read_series(index_file, collection))
    yield from fetch_case_files(_list_case_files(collection, found), folder, settings.table_address)
    series = _limit(settings, found)
    yield from _describe(settings, series)
    source = index.read_source(index_file, collection)
    nbia_names.write_metadata(folder, collection, series, source)
    licence_file = folder / f"{collection}-licence.txt"
    files.write_text(licence_file, _format_licence(source))
    work = fetch.Download(collection, folder, series)
    yield from _fetch(settings, work)
    yield from _report_failures(work)
    size, count = sum(one.size for one in series), sum(one.files for one in series)
    yield Note(f"licence and citation of these images: {licence_file}")
    yield Result(
        {"download": str(folder), "collection": collection, "series": len(series), "bytes": size},
        [str(licence_file), str(folder / nbia_names.METADATA)],
        f"{len(series)} series of {index.COLLECTIONS[collection]} are in {folder}: {count} files, "
        f"{_format_size(size)}. Every file was checked.",
    )


def _fetch(settings: command.Download, work: fetch.Download) -> Iterator[Event]:
    server = Server(settings.endpoint, work.series, settings.connections, settings.timeout)
    try:
        yield from fetch.fetch(work, server)
    finally:
        if work.seconds >= _MEASURED_SECONDS and work.fetched:
            with EstimateCache.change() as cache:
                cache.paces[_make_pace_key(settings.endpoint)] = {"bytes": work.fetched / work.seconds}


def _select_parts(settings: command.Download, workspace: Workspace, found: list[Series]) -> list[Series]:
    """Select what the settings name, of all patients."""
    if settings.missing_from:
        return selection.select_missing(found, workspace.dataset_folder(settings.missing_from) / MISSING)
    if settings.collection != "cbis-ddsm":
        return found
    kinds = ("mass", "calc") if settings.lesions == "both" else (settings.lesions,)
    splits = ("train", "test") if settings.splits == "both" else (settings.splits,)
    parts = {f"{kind} {split}" for kind, split in itertools.product(kinds, splits)}
    return selection.select_parts(found, parts, with_masks=settings.masks)


def _list_case_files(collection: str, series: Sequence[Series]) -> dict[str, str]:
    """The tables of the parts that these series belong to, with their checksums."""
    parts = {selection.name_part(one) for one in series}
    return {name: digest for name, digest in CASE_FILES[collection].items() if _name_part(name) in parts}


def _name_part(case_file: str) -> str:
    """The part that a case CSV describes; "" for the table of a whole collection."""
    kind, *_, split, _ = case_file.split("_") if case_file.count("_") > 3 else ("", "", "")
    return f"{kind} {split}".strip()


def _limit(settings: command.Download, found: list[Series]) -> list[Series]:
    """Keep the series of as many patients as the settings ask for. Tables that are not there yet are not kept."""
    if settings.limit is None:
        return found
    with tempfile.TemporaryDirectory() as place:
        tables = []
        for name, digest in _list_case_files(settings.collection, found).items():
            path = _get_folder(settings) / name
            if not path.exists():
                content = fetch_case_file(name, digest, path.parent, settings.table_address)
                path = Path(place) / name
                path.write_bytes(content)
            tables.append(path)
        return selection.select_patients(found, settings.limit, _group_patients(settings.collection, tables))


def _group_patients(collection: str, tables: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Split and label of each patient: malignant if any lesion or breast is."""
    if collection == "cbis-ddsm":
        return selection.group_cases(cbis_ddsm.read_cases(tables))
    breasts = cmmd.read_breasts(tables[0])
    malignant = {patient for (patient, _), breast in breasts.items() if breast.label == "malignant"}
    return {patient: ("", "malignant" if patient in malignant else "benign") for patient, _ in breasts}


def _describe(settings: command.Download, series: Sequence[Series]) -> Iterator[Event]:
    """Say what will be fetched, how long that takes and whether it fits. Raise an error if it does not fit."""
    rows = [_count(part, [one for one in series if selection.name_part(one) == part]) for part in _list_parts(series)]
    rows += [_count("all", series)] if len(rows) != 1 else []
    patients = len({selection.find_patient(one) for one in series})
    yield Table(
        "The download", ["part", "mammograms", "masks and crops", "files", "size"], rows, f"{patients} patients."
    )
    folder = _get_folder(settings)
    absent = fetch.list_absent(fetch.Download(settings.collection, folder, series))
    size = sum(one.size for one in absent)
    if len(absent) < len(series):
        yield Note(f"{len(series) - len(absent)} of the {len(series)} series are already in {folder}")
    if absent:
        yield Note(f"to fetch: {_format_size(size)}, {_describe_time(settings, size)}")
    free = machine.read_free_gib(folder) * 2**30
    yield Note(f"free on the disk of {folder}: {_format_size(free)}")
    if size + _RESERVE > free:
        raise DiskError(
            f"the download needs {_format_size(size)}, and the disk of {folder} has {_format_size(free)} free",
            hint=f"choose another {hints.setting('folder')}, or less of the collection: {hints.setting('limit', 50)}",
        )


def _list_parts(series: Sequence[Series]) -> list[str]:
    return sorted({selection.name_part(one) for one in series}, reverse=True)


def _count(part: str, series: Sequence[Series]) -> list[str]:
    mammograms = sum(map(selection.is_mammogram, series))
    count, size = sum(one.files for one in series), sum(one.size for one in series)
    return [part or "all", str(mammograms), str(len(series) - mammograms), str(count), _format_size(size)]


def _describe_time(settings: command.Download, size: float) -> str:
    pace = EstimateCache.load().paces.get(_make_pace_key(settings.endpoint), {}).get("bytes")
    if not pace:
        return "in a time that is not known: nothing was fetched from there by this machine before"
    minutes = size / pace / 60
    time = f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
    return f"about {time} at {_format_size(pace)}/s, as measured before"


def _make_pace_key(endpoint: str) -> str:
    return make_key("download", urllib.parse.urlsplit(endpoint).netloc, socket.gethostname())


def _report_failures(work: fetch.Download) -> Iterator[Event]:
    """List what could not be fetched, beside the data. Raise an error if there is anything."""
    listing = work.root / _FAILURES
    if not work.reasons:
        listing.unlink(missing_ok=True)
        return
    failed = [(one.subject, work.reasons[one.uid], one.uid) for one in work.series if one.uid in work.reasons]
    files.write_text(listing, "".join(f"{subject}\t{uid}\t{reason}\n" for subject, reason, uid in failed))
    rows = [[subject, reason] for subject, reason, _ in failed[:_SHOWN_FAILURES]]
    yield Table("Not downloaded", ["series", "reason"], rows, f"{len(failed)} series; all of them are in {listing}.")
    raise HaltedError(
        f"{len(failed)} of {len(work.series)} series could not be fetched intact: {failed[0][0]} ({failed[0][1]})",
        hint=f"resume it later: only these are fetched again. Or go on without them: "
        f"{hints.command('organize', work.root)}",
    )


def _format_licence(source: Source) -> str:
    return "\n".join(
        [
            source.title,
            "",
            f"Licence: {source.licence}, {source.licence_url}",
            f"Citation: {source.citation}",
            f"Source: {source.url}",
            f"Fetched from the Imaging Data Commons (https://imaging.datacommons.cancer.gov), index {source.index}.",
            "",
            "Cite the data wherever you show or publish results. State the licence wherever you pass on images.",
            "",
        ]
    )


def _format_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
