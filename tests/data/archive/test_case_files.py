"""The case CSVs from TCIA's pages, against an HTTP server on the loopback."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfm.core.errors import DataError
from tfm.data.archive.case_files import CASE_FILES, fetch_case_files

MASS_TEST = "mass_case_description_test_set.csv"
ONE = {MASS_TEST: CASE_FILES["cbis-ddsm"][MASS_TEST]}


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An address, and the folder whose files it offers."""
    folder = tmp_path / "pages"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_the_official_files_are_fetched_and_recognised(pages, shared_data, tmp_path):
    address, folder = pages
    for name in CASE_FILES["cbis-ddsm"]:
        (folder / name).write_bytes((shared_data / "csv" / name).read_bytes())
    assert not list(fetch_case_files(CASE_FILES["cbis-ddsm"], tmp_path, address))
    assert all((tmp_path / name).read_bytes() == (folder / name).read_bytes() for name in CASE_FILES["cbis-ddsm"])


def test_another_file_is_refused_and_not_written(pages, tmp_path):
    address, folder = pages
    (folder / MASS_TEST).write_text("<html>Just a moment ...</html>")
    with pytest.raises(DataError, match="are not the official file"):
        list(fetch_case_files(ONE, tmp_path, address))
    assert not (tmp_path / MASS_TEST).exists()


def test_a_file_that_cannot_be_fetched_says_from_where_and_where_to_put_it(pages, tmp_path):
    with pytest.raises(DataError, match=rf"{MASS_TEST} could not be fetched from {pages[0]}/.*404") as caught:
        list(fetch_case_files(ONE, tmp_path, pages[0]))
    assert f"put it into {tmp_path}" in caught.value.hint


def test_no_network_is_told(tmp_path):
    with pytest.raises(DataError, match="refused"):
        list(fetch_case_files(ONE, tmp_path, "http://127.0.0.1:9"))


def test_a_file_that_a_person_put_there_is_kept_and_its_difference_reported(tmp_path):
    (tmp_path / MASS_TEST).write_text("saved by a spreadsheet program")
    (note,) = fetch_case_files(ONE, tmp_path, "http://127.0.0.1:9")
    assert note.level == "warning"
    assert "differs from TCIA's file" in note.text
    assert (tmp_path / MASS_TEST).read_text() == "saved by a spreadsheet program"


def test_the_spreadsheet_of_cmmd_must_be_one(pages, tmp_path):
    address, folder = pages
    (folder / "CMMD_clinicaldata_revision.xlsx").write_text("<html>Just a moment ...</html>")
    with pytest.raises(DataError, match="is not a spreadsheet"):
        list(fetch_case_files(CASE_FILES["cmmd"], tmp_path, address))
