"""A cache ends byte for byte as a fresh one, whatever happened while it was made, and nothing is made twice."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.caches import build, building, chain, contents, dataset_of, small_download, touch
from tfm.core.errors import DataError, DiskError
from tfm.data.cache import Cache
from tfm.data.dataset import Dataset
from tfm.data.standing import find_standing, refuse_replacing
from tfm.imaging.settings import ChainSettings

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_download(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="module")
def whole(download: Path) -> Dataset:
    return dataset_of(download, download.with_name("whole"))


@pytest.fixture(scope="module")
def fresh(whole: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed build makes."""
    folder = tmp_path_factory.mktemp("fresh") / "c"
    build(folder, whole, chain())
    return contents(folder)


@pytest.fixture
def dataset(whole: Dataset, tmp_path: Path) -> Dataset:
    """Its files may be damaged: they are nobody else's."""
    shutil.copytree(whole.folder, tmp_path / "dataset" / whole.folder.name)
    return Dataset.open(tmp_path / "dataset" / whole.folder.name)


def film(dataset: Dataset, row: int) -> Path:
    """Of a row of the cache."""
    return dataset.path(dataset.manifest.sort_values("image_id")["file"].iloc[row])


def mask(dataset: Dataset, row: int) -> Path:
    return dataset.path(dataset.manifest.sort_values("image_id")["mask"].iloc[row])


def without(dataset: Dataset, *rows: int) -> Dataset:
    manifest = dataset.manifest.sort_values("image_id", ignore_index=True)
    return replace(dataset, manifest=manifest.drop(index=list(rows)))


def spoil(path: Path) -> None:
    """As long and as old as before, and unreadable: whoever reads it fails."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# --- stopped, killed, and started again -------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [0, 1, 5, 23])
def test_a_cache_that_was_stopped_ends_byte_for_byte_as_an_undisturbed_one(whole, fresh, tmp_path, stop_after):
    build(tmp_path / "c", whole, chain(), stop_after=stop_after)
    with pytest.raises(DataError, match="not a finished cache"):
        Cache.open(tmp_path / "c")
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_what_was_made_before_a_stop_is_not_made_again(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain(), stop_after=7)
    for row in range(7):
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == fresh


def test_rows_whose_log_was_cut_are_made_again(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=5)
    log = tmp_path / "c" / ".building" / "done.jsonl"
    assert log.read_text().count("\n") == 5
    log.write_text(log.read_text()[:-20])
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_row_made_of_a_film_that_changed_back_is_made_again(dataset, fresh, tmp_path):
    """The log of its first making is true again, but the row is not: it was made of another film since."""
    path = film(dataset, 2)
    before = (path.read_bytes(), path.stat())
    build(tmp_path / "c", dataset, chain(), stop_after=5)
    shutil.copy2(film(dataset, 9), path)
    making = building(tmp_path / "c", dataset, chain())
    assert [next(making)[0] for _ in range(2)] == [4, 5]
    log = (tmp_path / "c" / ".building" / "done.jsonl").read_bytes()
    making.close()
    (tmp_path / "c" / ".building" / "done.jsonl").write_bytes(log)  # killed: the row is there, its line is not
    path.write_bytes(before[0])
    os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == fresh


def test_two_workers_make_what_one_process_makes_and_go_on_where_it_stopped(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=3)
    build(tmp_path / "c", whole, chain(), stop_after=9, workers=2)
    build(tmp_path / "c", whole, chain(), workers=2)
    assert contents(tmp_path / "c") == fresh


KILLED = """
import sys, time
from pathlib import Path
from tests.data.caches import building, chain
from tfm.data.dataset import Dataset
if __name__ == "__main__":
    for done, total in building(Path(sys.argv[1]), Dataset.open(Path(sys.argv[2])), chain(), workers=2):
        print(done, flush=True)
"""


def test_a_killed_build_with_two_workers_ends_bit_identical(whole, fresh, tmp_path):
    for at in (2, 15):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "c"), str(whole.folder)]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= at:
                process.send_signal(signal.SIGKILL)
        process.wait()
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_kill_between_two_replaces_is_repaired_at_the_next_start(dataset, fresh, tmp_path, monkeypatch):
    path, before = film(dataset, 3), film(dataset, 3).read_bytes()
    shutil.copy(film(dataset, 9), path)
    build(tmp_path / "old", dataset, chain())
    path.write_bytes(before)
    old = contents(tmp_path / "old")
    replace_file, moves = os.replace, 0
    for allowed in range(60):
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(tmp_path / "old", tmp_path / "c")
        moves = 0

        def killed(source, target, allowed=allowed):
            nonlocal moves
            moves += 1
            if moves > allowed:
                raise KeyboardInterrupt
            replace_file(source, target)

        monkeypatch.setattr(os, "replace", killed)
        with contextlib.suppress(KeyboardInterrupt):
            build(tmp_path / "c", dataset, chain())
        monkeypatch.setattr(os, "replace", replace_file)
        with contextlib.suppress(DataError):
            opened = {path.name: path.read_bytes() for path in Cache.open(tmp_path / "c").files}
            assert opened.items() <= old.items() or opened.items() <= fresh.items(), "never half and half"
        build(tmp_path / "c", dataset, chain())
        assert contents(tmp_path / "c") == fresh
        if moves <= allowed:
            break
    assert 8 <= moves < 60, "each file came at its own moment"


# --- what changed, came and went --------------------------------------------------------------------------------------


def test_only_what_changed_is_made_again(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain())
    shutil.copy(film(dataset, 9), film(dataset, 4))
    shutil.copy(mask(dataset, 9), mask(dataset, 6))
    build(tmp_path / "fresh", dataset, chain())
    for row in set(range(24)) - {4, 6}:
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())
    made = contents(tmp_path / "c")
    assert made == contents(tmp_path / "fresh")
    rows = zip(made["index.csv"].splitlines()[1:], fresh["index.csv"].splitlines()[1:], strict=True)
    assert [number for number, (now, before) in enumerate(rows) if now != before] == [4, 6], "who reads it sees which"


def test_what_came_is_made_and_what_went_is_left_out(dataset, fresh, tmp_path):
    build(tmp_path / "c", without(dataset, 2, 20), chain())
    build(tmp_path / "fresh", without(dataset, 5), chain())
    for row in set(range(24)) - {2, 20}:
        spoil(film(dataset, row))
    build(tmp_path / "c", without(dataset, 5), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_another_scan_of_the_same_name_is_another_image(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain())
    manifest = dataset.manifest.assign(sop_uid=dataset.manifest["sop_uid"] + ".1")
    spoil(film(dataset, 0))
    with pytest.raises(DataError, match="1 images could not be made"):
        build(tmp_path / "c", replace(dataset, manifest=manifest), chain())


def test_a_mask_drawn_again_alike_is_the_same_mask(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    for row in range(24):
        touch(mask(dataset, row))
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())


def test_an_intact_cache_is_not_made_again_and_a_damaged_one_is(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain())
    images = tmp_path / "c" / "images.npy"
    before = images.stat().st_ino
    build(tmp_path / "c", whole, chain())
    assert images.stat().st_ino == before
    with open(images, "r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_who_trains_from_the_old_arrays_keeps_them_whole(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    mapped = Cache.open(tmp_path / "c")
    before = np.array(mapped.images)
    shutil.copy(film(dataset, 9), film(dataset, 0))
    build(tmp_path / "c", dataset, chain())
    assert np.array_equal(mapped.images, before)
    assert not np.array_equal(Cache.open(tmp_path / "c").images, before)


def test_a_raised_version_makes_everything_again(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), version=0)
    inode = (tmp_path / "c" / "images.npy").stat().st_ino
    assert contents(tmp_path / "c")["settings.yaml"] != fresh["settings.yaml"]
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh
    assert (tmp_path / "c" / "images.npy").stat().st_ino != inode


# --- whose cache it is ------------------------------------------------------------------------------------------------


def test_another_chain_makes_other_images_and_never_mixes_with_what_was_begun(whole, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=20)
    build(tmp_path / "c", whole, chain(**{"intensity.high": 90}))
    build(tmp_path / "fresh", whole, chain(**{"intensity.high": 90}))
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_a_cache_that_other_steps_made_is_never_replaced(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain())
    back = ChainSettings(steps=dict(reversed(chain().steps.items())))
    for other in (chain(**{"intensity.high": 90}), back):
        with pytest.raises(DataError, match="made with other settings"):
            build(tmp_path / "c", whole, other)
    refuse_replacing(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_another_datasets_cache_is_never_replaced_but_serves_where_it_holds_all(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain())
    other = Dataset.open(Path(shutil.copytree(dataset.folder, tmp_path / "dataset" / "another")))
    with pytest.raises(DataError, match="of another dataset"):
        refuse_replacing(tmp_path / "c", other, chain())
    build(tmp_path / "c", without(other, 3), chain())
    assert contents(tmp_path / "c") == fresh
    touch(film(other, 3))
    with pytest.raises(DataError, match="of another dataset"):
        build(tmp_path / "c", other, chain())
    assert contents(tmp_path / "c") == fresh


def test_the_same_images_split_otherwise_are_the_same_cache(download, whole, fresh, tmp_path):
    other = dataset_of(download, tmp_path / "folds", split="kfold", seed=5)
    assert list(other.manifest["split"]) != list(whole.manifest["split"])
    other = replace(other, manifest=other.manifest.sort_values("split"))
    build(tmp_path / "c", other, chain())
    assert contents(tmp_path / "c") == fresh
    assert find_standing([tmp_path / "c"], whole, chain(), 1) == "c"


def test_a_standing_cache_is_found_only_where_nothing_would_be_made(dataset, tmp_path):
    build(tmp_path / "part", without(dataset, 3), chain())
    build(tmp_path / "begun", dataset, chain(), stop_after=9)
    build(tmp_path / "c", dataset, chain())
    folders = [tmp_path / name for name in ("none", "part", "begun", "c")]
    assert find_standing(folders, dataset, chain(), 1) == "c"
    assert find_standing(folders, without(dataset, 3), chain(), 1) == "part"
    assert find_standing(folders, without(dataset, 4), chain(), 1) == "c", "it may hold more"
    assert find_standing(folders, dataset, chain(**{"intensity.high": 90}), 1) is None
    assert find_standing(folders, dataset, chain(), 2) is None
    touch(film(dataset, 4))
    assert find_standing(folders, dataset, chain(), 1) is None
    touch(film(dataset, 4), later=-1)
    (tmp_path / "c" / "images.npy").write_bytes((tmp_path / "c" / "images.npy").read_bytes()[:-1])
    assert find_standing(folders, dataset, chain(), 1) is None


# --- what cannot be made ----------------------------------------------------------------------------------------------


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_done_and_kept(dataset, fresh, tmp_path):
    bad, gone = film(dataset, 2), film(dataset, 7)
    before = bad.read_bytes()
    bad.write_bytes(before[: len(before) // 2])
    gone.rename(gone.with_suffix(".away"))
    with pytest.raises(DataError, match="2 images could not be made") as caught:
        build(tmp_path / "c", dataset, chain())
    assert bad.name in caught.value.message
    assert gone.name in caught.value.message
    listed = (tmp_path / "c" / "failures.txt").read_text()
    assert bad.stem in listed
    assert gone.stem in listed
    with pytest.raises(DataError, match="not a finished cache"):
        Cache.open(tmp_path / "c")
    bad.write_bytes(before)
    gone.with_suffix(".away").rename(gone)
    for row in set(range(24)) - {2, 7}:
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())
    assert Cache.open(tmp_path / "c").images.max(axis=(1, 2)).min() > 0
    assert contents(tmp_path / "c") == fresh


def test_a_file_that_vanishes_half_way_is_one_failure(dataset, tmp_path):
    making = building(tmp_path / "c", dataset, chain())
    assert [next(making)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    film(dataset, 10).unlink()
    with pytest.raises(DataError, match="1 images could not be made"):
        list(making)


def test_ten_failures_are_told_and_all_are_listed(dataset, tmp_path):
    for row in range(3, 24):
        film(dataset, row).unlink()
    with pytest.raises(DataError, match="21 images could not be made") as caught:
        build(tmp_path / "c", dataset, chain())
    assert caught.value.message.endswith("… and 11 more")
    assert len((tmp_path / "c" / "failures.txt").read_text().splitlines()) == 21
    assert "failures.txt" in caught.value.hint


def test_what_was_made_is_kept_when_the_dataset_then_leaves_the_failures_out(dataset, fresh, tmp_path):
    build(tmp_path / "fresh", without(dataset, 5), chain())
    film(dataset, 5).unlink()
    with pytest.raises(DataError, match="1 images could not be made"):
        build(tmp_path / "c", dataset, chain())
    for row in set(range(24)) - {5}:
        spoil(film(dataset, row))
    build(tmp_path / "c", without(dataset, 5), chain(), stop_after=12)
    build(tmp_path / "c", without(dataset, 5), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def writes_rows(pid: int) -> bool:
    return any(path.readlink().name == "images.npy" for path in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see who is at work")
def test_the_film_that_a_killed_worker_had_in_hand_is_named_and_the_others_go_on(whole, fresh, tmp_path):
    """As a system does that is out of memory; the worker is held still before, with two films given to it."""
    making = building(tmp_path / "c", whole, chain(), workers=2)
    while not (at_work := [child for child in multiprocessing.active_children() if writes_rows(child.pid)]):
        next(making)
    victim = at_work[0]
    os.kill(victim.pid, signal.SIGSTOP)
    while next(making)[0] < 22:
        pass
    victim.kill()
    with pytest.raises(DataError, match="1 images could not be made") as caught:
        list(making)
    assert "Killed" in caught.value.message
    assert sum(film(whole, row).name in caught.value.message for row in range(24)) == 1
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_chain_that_makes_different_sizes_ends_at_once(dataset, tmp_path):
    no_size = ChainSettings(steps={name: values for name, values in chain().steps.items() if name != "resize"})
    making = building(tmp_path / "c", dataset, no_size)
    with pytest.raises(DataError, match="different forms") as told:
        list(making)
    assert "resize" in told.value.hint


# --- disks that fill up -----------------------------------------------------------------------------------------------


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
