"""Download from a public archive on the loopback, and organize what came."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from filelock import FileLock

from tests.data.archive.archive import Archive, Gateway, open_archive, open_gateway
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Table
from tfm.core.runs.execute_run import execute
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.pipelines import download
from tfm.ui.next_steps import list_next_steps

PATIENTS = {"train_women": 4, "test_women": 2}
UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with open_archive(tmp_path_factory.mktemp("archive"), **PATIENTS) as archive:
        yield archive


@pytest.fixture
def gateway(archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """The archive's server and index; the case CSVs are where a person has put them."""
    monkeypatch.syspath_prepend(archive.packages)
    put_case_files(archive, tmp_path / "cbis-ddsm")
    with open_gateway(archive.endpoint) as gateway:
        yield gateway


def put_case_files(archive: Archive, folder: Path) -> None:
    folder.mkdir()
    for table in archive.original.rglob("*_case_description_*.csv"):
        shutil.copy(table, folder)


def start(workspace: Workspace, command: str, **given: Any) -> tuple[Run, list[Event]]:
    run = find_or_create_job(workspace, command, given)
    assert isinstance(run, Run)
    return run, list(execute(run))


def start_download(workspace: Workspace, gateway: Gateway, folder: Path, **given: Any) -> tuple[Run, list[Event]]:
    return start(workspace, "download", folder=folder, endpoint=gateway.address, table_address=UNREACHABLE, **given)


def show(workspace: Workspace, **given: Any) -> tuple[Table, str]:
    events = [*download.preview(resolve_settings(workspace, "download", given, None), workspace)]
    notes = "\n".join(event.text for event in events if isinstance(event, Note))
    return next(event for event in events if isinstance(event, Table)), notes


def read_manifest(workspace: Workspace, name: str) -> list[str]:
    """The rows of a dataset without its links."""
    return (workspace.dataset_folder(name) / "manifest.csv").read_text().splitlines()


def test_a_download_is_organized_like_one_from_nbia(archive, gateway, workspace, tmp_path):
    run, _ = start_download(workspace, gateway, tmp_path)
    assert run.read_status().state == "done"
    (step,) = list_next_steps(run)
    assert (step.stage, step.given) == ("organize", {"download": [str(tmp_path / "cbis-ddsm")], "name": "cbis-ddsm"})
    start(workspace, "organize", **step.given)
    start(workspace, "organize", download=[archive.original], name="original")
    assert read_manifest(workspace, "cbis-ddsm") == read_manifest(workspace, "original")
    licence = (tmp_path / "cbis-ddsm" / "cbis-ddsm-licence.txt").read_text()
    assert "Creative Commons Attribution 3.0" in licence
    assert "Sawyer-Lee" in licence


@pytest.mark.long
def test_what_the_audit_misses_is_fetched_alone(archive, gateway, workspace, tmp_path):
    _, _ = start_download(workspace, gateway, tmp_path)
    folder = tmp_path / "cbis-ddsm"
    lost = next(folder.glob("CBIS-DDSM/Mass-Training_*_CC/*/*/*.dcm"))
    content = lost.read_bytes()
    lost.write_bytes(content[: len(content) // 2])
    start(workspace, "organize", download=[folder], name="small")
    gateway.sent.clear()
    run, _ = start_download(workspace, gateway, tmp_path, missing_from="small")
    assert run.read_status().result["series"] == 1
    assert lost.read_bytes() == content
    assert sum(gateway.sent.values()) == len(content)


def test_the_review_says_what_comes_and_how_long_that_takes(gateway, workspace, tmp_path, empty_user_cache):
    table, notes = show(workspace, folder=tmp_path, endpoint=gateway.address, lesions="mass")
    assert [row[0] for row in table.rows] == ["mass train", "mass test", "all"]
    assert "not known: nothing was fetched from there" in notes
    assert f"free on the disk of {tmp_path / 'cbis-ddsm'}" in notes
    assert not any(tmp_path.glob("*/.download.lock"))


def test_a_trial_is_balanced_by_label(archive, gateway, workspace, tmp_path):
    table, _ = show(workspace, folder=tmp_path, limit=4)
    assert table.caption == "4 patients."


def test_a_trial_of_cmmd_is_balanced_by_the_spreadsheet(workspace, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["ID1", "LeftRight", "abnormality", "classification"])
    for number in range(1, 101):
        book.active.append([f"D2-{number:04}", "L", "mass", "Malignant" if number > 90 else "Benign"])
    (tmp_path / "cmmd").mkdir()
    book.save(tmp_path / "cmmd" / "CMMD_clinicaldata_revision.xlsx")
    settings = resolve_settings(workspace, "download", {"collection": "cmmd", "folder": tmp_path, "limit": 12}, None)
    found = download.select_series(settings, workspace)
    assert sum(one.subject > "D2-0090" for one in found) == len(found) / 2 == 6


def test_without_masks_only_mammograms_come(gateway, workspace, tmp_path):
    table, _ = show(workspace, folder=tmp_path, masks=False)
    assert {row[2] for row in table.rows} == {"0"}


def test_choices_without_meaning_for_the_collection_are_refused(workspace):
    with pytest.raises(SettingsError, match="lesions"):
        resolve_settings(workspace, "download", {"collection": "cmmd", "lesions": "mass"}, None)


@pytest.mark.long
def test_series_that_cannot_be_had_are_listed_and_fetched_on_resume(archive, gateway, workspace, tmp_path):
    broken = archive.rows[0]
    gateway.faults[broken["crdc_series_uuid"] + "/"] = ("wrong", 0)
    run, events = start_download(workspace, gateway, tmp_path)
    assert run.read_status().state == "halted"
    assert "1 of 24 series could not be fetched intact" in run.read_status().message
    assert broken["SeriesInstanceUID"] in (tmp_path / "cbis-ddsm" / "not-downloaded.txt").read_text()
    assert next(event for event in events if isinstance(event, Table) and event.title == "Not downloaded").rows
    gateway.faults.clear()
    list(execute(run))
    assert run.read_status().state == "done"
    assert not (tmp_path / "cbis-ddsm" / "not-downloaded.txt").exists()


def test_two_downloads_do_not_write_to_one_folder(gateway, workspace, tmp_path):
    with FileLock(tmp_path / "cbis-ddsm" / ".download.lock"):
        run, _ = start_download(workspace, gateway, tmp_path)
    assert "another download is writing" in run.read_status().message


def test_a_download_that_does_not_fit_on_the_disk_is_not_begun(archive, gateway, workspace, small_disk):
    put_case_files(archive, small_disk / "cbis-ddsm")
    run, _ = start_download(workspace, gateway, small_disk)
    assert run.read_status().state == "halted"
    assert "the download needs" in run.read_status().message
    assert not gateway.sent


@pytest.mark.long
def test_a_paused_download_goes_on_where_it_was(gateway, workspace, tmp_path):
    gateway.delay = 0.002
    settings = {"folder": tmp_path, "endpoint": gateway.address}
    run = find_or_create_job(workspace, "download", settings)
    events = execute(run)
    for _ in events:
        if gateway.sent.total() > 500_000:
            break
    events.close()
    assert run.read_status().state == "paused"
    gateway.delay = 0
    list(execute(run))
    assert run.read_status().state == "done"
    fetched_twice = sum(gateway.sent.values()) - run.read_status().result["bytes"]
    assert fetched_twice < 8 * 150_000  # what was on the line
