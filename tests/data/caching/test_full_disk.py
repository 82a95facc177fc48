"""A disk that fills up is said in words, and what was written stays usable."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.caches import build, building, chain, contents
from tfm.core.errors import DiskError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Of 1 MB; the 24 images need 0.3."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.name == "nt" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, *, free: int) -> Path:
    filler = disk / "filler"
    with open(filler, "wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - free))
    return filler


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up_is_said_in_words_and_what_was_done_is_kept(whole, fresh, small_disk, workers):
    making = building(small_disk / "c", whole, chain(), workers=workers)
    for _ in range(7):
        next(making)
    filler = fill(small_disk, free=40_000)
    with pytest.raises(DiskError, match="of 24 images are done and kept") as told:
        list(making)
    assert str(small_disk / "c") in told.value.message
    assert " GB are needed" in told.value.message
    assert multiprocessing.active_children() == []
    with pytest.raises(DiskError, match="do not fit"):
        build(small_disk / "c", whole, chain())
    filler.unlink()
    kept = (small_disk / "c" / ".building" / "done.jsonl").read_text().count("\n")
    assert kept >= 7
    assert next(building(small_disk / "c", whole, chain())) == (kept, 24)
    build(small_disk / "c", whole, chain())
    assert contents(small_disk / "c") == fresh


def test_what_cannot_fit_is_refused_before_anything_is_written(whole, small_disk):
    making = building(small_disk / "c", whole, chain(**{"resize.height": 256, "resize.width": 256}))
    with pytest.raises(DiskError, match="do not fit"):
        list(making)
    assert list((small_disk / "c").iterdir()) == []


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_is_a_full_disk_too(whole, fresh, tmp_path):
    with files_up_to(40_000), pytest.raises(DiskError, match="0 of 24 images"):
        build(tmp_path / "c", whole, chain())
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_log_that_finds_no_room_holds_no_half_line(whole, tmp_path):
    small = chain(**{"resize.height": 16, "resize.width": 16})
    build(tmp_path / "fresh", whole, small)
    making = building(tmp_path / "c", whole, small)
    next(making)
    next(making)
    with files_up_to(7000), pytest.raises(DiskError, match="0 of 24 images"):
        list(making)
    assert (tmp_path / "c" / ".building" / "done.jsonl").read_bytes() == b""
    build(tmp_path / "c", whole, small)
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")
