"""The header cache: unchanged files are not opened again, and a damaged cache is rebuilt."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.data.phantoms import phantom_download
from tfm.core.errors import BusyError
from tfm.data.download import header_index
from tfm.data.download.find_files import scan_folders
from tfm.data.download.headers import Header


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("download")
    phantom_download(folder, 3, 1)
    return folder


def read(folder: Path, file: Path) -> list[Header]:
    return list(header_index.read_headers(scan_folders([folder]).images, file))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened."""
    paths: list[str] = []
    reader = header_index.read_header
    monkeypatch.setattr(header_index, "read_header", lambda met: (paths.append(met.path), reader(met))[1])
    return paths


def test_an_unchanged_file_is_not_opened_again(phantoms: Path, tmp_path: Path, opened: list[str]) -> None:
    first = read(phantoms, tmp_path / "headers.sqlite")
    assert len(opened) == len(first) > 10
    opened.clear()
    assert read(phantoms, tmp_path / "headers.sqlite") == first
    assert opened == []


def test_a_changed_file_is_read_again(phantoms: Path, tmp_path: Path, opened: list[str]) -> None:
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    read(copy, tmp_path / "headers.sqlite")
    opened.clear()
    shorter, touched = sorted(copy.rglob("*.dcm"))[:2]
    os.truncate(shorter, shorter.stat().st_size // 2)
    os.utime(touched, ns=(0, 0))
    headers = {header.path: header for header in read(copy, tmp_path / "headers.sqlite")}
    assert sorted(opened) == sorted(map(str, (shorter, touched)))
    assert headers[str(shorter)].fault == "truncated"
    assert headers[str(touched)].fault == ""


def test_an_interrupted_read_continues(
    phantoms: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_index, "SAVE_EVERY", 5)
    reading = header_index.read_headers(scan_folders([phantoms]).images, tmp_path / "headers.sqlite")
    for _ in range(12):
        next(reading)
    reading.close()
    opened.clear()
    whole = read(phantoms, tmp_path / "headers.sqlite")
    assert len(opened) == len(whole) - 10


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_a_damaged_index_is_rebuilt(phantoms: Path, tmp_path: Path, damage: bytes) -> None:
    whole = read(phantoms, tmp_path / "headers.sqlite")
    (tmp_path / "headers.sqlite").write_bytes(damage)
    assert read(phantoms, tmp_path / "headers.sqlite") == whole


def test_an_index_damaged_anywhere_is_rebuilt_or_correct(phantoms: Path, tmp_path: Path) -> None:
    file = tmp_path / "headers.sqlite"
    whole = read(phantoms, file)
    content = file.read_bytes()
    for page in range(0, len(content), 4096):
        file.write_bytes(content[:page] + b"\xff" * 4096 + content[page + 4096 :])
        assert read(phantoms, file) == whole, page


def test_an_unreadable_file_is_read_again(phantoms: Path, tmp_path: Path) -> None:
    """A disk that was away for a moment leaves size and time as they were."""
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    found, index = scan_folders([copy]).images, tmp_path / "headers.sqlite"
    copy.rename(tmp_path / "away")
    assert {header.fault for header in header_index.read_headers(found, index)} == {"unreadable"}
    (tmp_path / "away").rename(copy)
    assert {header.fault for header in header_index.read_headers(found, index)} == {""}


def test_a_file_of_zeros_after_its_header_is_refused_at_once_and_remembered(phantoms: Path, tmp_path: Path) -> None:
    """Some programs reserve the whole file before they download it."""
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    cut, empty, *_ = sorted(copy.rglob("*.dcm"))
    for path, length in ((cut, 600), (empty, 340)):
        head = path.read_bytes()[:length]
        with open(path, "wb") as file:
            file.write(head)
            file.truncate(2**26)
    started = time.process_time()
    faults = {header.path: header.fault for header in read(copy, tmp_path / "headers.sqlite")}
    assert (faults[str(cut)], faults[str(empty)]) == ("damaged", "damaged")
    assert time.process_time() - started < 2  # once, a minute
    with closing(sqlite3.connect(tmp_path / "headers.sqlite")) as index:
        remembered = index.execute("SELECT count(*) FROM headers WHERE fault = 'damaged'").fetchone()
    assert remembered == (2,)


def test_a_locked_index_is_refused_and_not_changed(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "headers.sqlite"
    whole = read(phantoms, file)
    monkeypatch.setattr(header_index, "LOCK_TIMEOUT", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError, match="another program has locked"):
            read(phantoms, file)
    assert read(phantoms, file) == whole


def test_a_truncated_index_is_rebuilt(phantoms: Path, tmp_path: Path) -> None:
    file = tmp_path / "headers.sqlite"
    whole = read(phantoms, file)
    os.truncate(file, file.stat().st_size // 2)
    assert read(phantoms, file) == whole
