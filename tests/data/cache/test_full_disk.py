"""A full disk is reported in words, and the rows that were made are kept."""

import contextlib
import multiprocessing
import resource
from collections.abc import Iterator

import pytest

from tests.data.caches import build, chain, contents, track_build, unfinished_rows
from tests.faults.disks import fill
from tfm.core.errors import DiskError


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_reported_and_the_rows_are_kept(whole, fresh, small_disk, workers):
    progress = track_build(small_disk / "c", whole, chain(), workers=workers)
    for _ in range(8):
        next(progress)
    filler = fill(small_disk, free=40_000)
    with pytest.raises(DiskError, match="of 24 images are done and kept") as error:
        list(progress)
    assert str(small_disk / "c") in error.value.message
    assert " GB are needed" in error.value.message
    assert multiprocessing.active_children() == []
    with pytest.raises(DiskError, match="do not fit"):
        build(small_disk / "c", whole, chain())
    filler.unlink()
    kept = len(unfinished_rows(small_disk / "c"))
    assert kept >= 7
    assert next(track_build(small_disk / "c", whole, chain())) == (kept, 24)
    build(small_disk / "c", whole, chain())
    assert contents(small_disk / "c") == fresh


def test_a_cache_that_cannot_fit_is_refused_before_anything_is_written(whole, small_disk):
    progress = track_build(small_disk / "c", whole, chain(**{"resize.height": 256, "resize.width": 256}))
    with pytest.raises(DiskError, match="do not fit"):
        list(progress)
    assert list((small_disk / "c").iterdir()) == []


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_size_limit_is_reported_as_a_full_disk(whole, fresh, tmp_path):
    with files_up_to(40_000), pytest.raises(DiskError, match="24 of 24 images"):
        build(tmp_path / "c", whole, chain())
    assert not list((tmp_path / "c" / ".building").glob("*.npy")), "they would take up the little room that is left"
    with files_up_to(100), pytest.raises(DiskError, match="0 of 24 images"):
        build(tmp_path / "d", whole, chain())
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh
