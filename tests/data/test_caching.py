"""A cache ends byte for byte as a fresh one, whatever happened while it was made, and nothing is made twice."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.caches import build, building, chain, contents, dataset_of, found, small_download, touch
from tfm.core import machine
from tfm.core.errors import DataError, DiskError
from tfm.core.events import Progress
from tfm.data import caching
from tfm.data.cache import Cache
from tfm.data.dataset import Dataset
from tfm.data.standing import refuse_replacing
from tfm.imaging.settings import ChainSettings

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_download(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="module")
def whole(download: Path) -> Dataset:
    return dataset_of(download, download.with_name("whole"))


@pytest.fixture(scope="module")
def made(whole: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By an undisturbed build; to be copied."""
    folder = tmp_path_factory.mktemp("made") / "c"
    build(folder, whole, chain())
    return folder


@pytest.fixture(scope="module")
def fresh(made: Path) -> dict[str, bytes]:
    return contents(made)


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


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
KILLED_HERE = 9


def came_to_its_end(work: Callable[[], None], *, changes: int) -> bool:
    """In a process of its own, which ends as a kill ends it before it changes a folder once more than that."""
    child = os.fork()
    if child == 0:
        left = iter(range(changes))

        def count(event: str, given: tuple[object, ...]) -> None:
            writes = event == "open" and isinstance(given[1], str) and set(given[1]) & set("wax+")
            if (event in CHANGES or writes) and next(left, None) is None:
                os._exit(KILLED_HERE)

        sys.addaudithook(count)
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED_HERE)
    return status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to be killed at an instant")
def test_a_kill_at_any_change_of_the_folder_is_repaired_at_the_next_start(dataset, fresh, tmp_path):
    """All rows are there, in what stands or in what was begun with other images: what is killed is the rest, each
    copying, replacing and removing of it."""
    old, path, scan = tmp_path / "old", film(dataset, 3), film(dataset, 3).read_bytes()
    shutil.copy(film(dataset, 9), path)
    build(old, dataset, chain())
    before = contents(old)
    path.write_bytes(scan)
    build(old, without(dataset, 23), chain(), stop_after=23)
    changes = 0
    while True:
        home = Path(shutil.copytree(old, tmp_path / str(changes) / "c"))
        ended = came_to_its_end(lambda home=home: build(home, dataset, chain()), changes=changes)
        with contextlib.suppress(DataError):
            opened = {path.name: path.read_bytes() for path in Cache.open(home).files}
            assert opened.items() <= before.items() or opened.items() <= fresh.items(), "never half and half"
        build(home, dataset, chain())
        assert contents(home) == fresh, f"killed before change {changes}"
        shutil.rmtree(home)
        if ended:
            break
        changes += 1
    assert changes > 40, "each change was one to be killed at"


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
    with pytest.raises(DataError, match="1 image could not be made"):
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


def test_what_an_older_version_made_is_made_again_though_its_settings_had_another_shape(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), version=0)
    settings = tmp_path / "c" / "settings.yaml"
    assert "frame: middle\n" in settings.read_text()
    settings.write_text(settings.read_text().replace("frame: middle\n", ""))
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


# --- whose cache it is ------------------------------------------------------------------------------------------------


def test_another_chain_makes_other_images_and_never_mixes_with_what_was_begun(whole, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=20)
    build(tmp_path / "c", whole, chain(**{"intensity.high": 90}))
    build(tmp_path / "fresh", whole, chain(**{"intensity.high": 90}))
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_a_cache_that_other_steps_made_is_never_replaced(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain())
    steps = dict(chain().steps)
    back = ChainSettings(steps={**{name: steps.pop(name) for name in ("annotations", "crop_breast")}, **steps})
    assert dict(back.steps) == dict(chain().steps)
    for other in (chain(**{"intensity.high": 90}), back):
        with pytest.raises(DataError, match="made with other settings"):
            build(tmp_path / "c", whole, other)
    refuse_replacing(tmp_path / "c", whole, chain(), 1)
    assert contents(tmp_path / "c") == fresh


def test_another_datasets_cache_is_never_replaced_but_serves_where_it_holds_all(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain())
    other = Dataset.open(Path(shutil.copytree(dataset.folder, tmp_path / "dataset" / "another")))
    with pytest.raises(DataError, match="of another dataset"):
        refuse_replacing(tmp_path / "c", other, chain(), 1)
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
    assert found([tmp_path / "c"], whole, chain())[0] == "c"


def test_a_standing_cache_is_found_only_where_nothing_would_be_made(dataset, tmp_path):
    build(tmp_path / "part", without(dataset, 3), chain())
    build(tmp_path / "begun", dataset, chain(), stop_after=9)
    build(tmp_path / "c", dataset, chain())
    folders = [tmp_path / name for name in ("none", "part", "begun", "c")]
    assert found(folders, dataset, chain())[0] == "c"
    assert found(folders, without(dataset, 3), chain())[0] == "part"
    assert found(folders, without(dataset, 4), chain())[0] == "c", "it may hold more"
    assert found(folders, dataset, chain(**{"intensity.high": 90}))[0] is None
    assert found(folders, dataset, chain(), 2)[0] is None
    touch(film(dataset, 4))
    assert found(folders, dataset, chain())[0] is None
    touch(film(dataset, 4), later=-1)
    (tmp_path / "c" / "images.npy").write_bytes((tmp_path / "c" / "images.npy").read_bytes()[:-1])
    assert found(folders, dataset, chain())[0] is None


def test_only_a_cache_that_would_serve_is_read_through_and_there_may_be_a_pause_after_each_image(dataset, tmp_path):
    build(tmp_path / "part", without(dataset, 3), chain())
    build(tmp_path / "c", dataset, chain())
    _, said = found([tmp_path / "part", tmp_path / "c"], dataset, chain())
    for name in ("compared", "checked"):
        counts = [event for event in said if isinstance(event, Progress) and event.name == name]
        assert [event.done for event in counts] == list(range(1, 25)), name


DAMAGE: list[tuple[str, bytes]] = [
    ("sources.json", b'{"dataset": '),
    ("sources.json", b"[]"),
    ("sources.json", b'{"dataset": "d", "images": {"a": null}}'),
    ("settings.yaml", b""),
    ("settings.yaml", b"\0\0\0"),
    ("settings.yaml", b"a: ["),
]


@pytest.mark.parametrize(("name", "content"), DAMAGE)
def test_one_damaged_cache_keeps_nobody_from_the_others(whole, fresh, made, tmp_path, name, content):
    for copy in ("bad", "good"):
        shutil.copytree(made, tmp_path / copy)
    (tmp_path / "bad" / name).write_bytes(content)
    assert found([tmp_path / "bad", tmp_path / "good"], whole, chain())[0] == "good"
    with pytest.raises(DataError, match="damaged") as told:
        build(tmp_path / "bad", whole, chain())
    assert "--cache" in told.value.hint
    assert contents(tmp_path / "good") == fresh


@pytest.mark.parametrize("name", ["index.csv", "sums.json"])
def test_a_cache_whose_index_or_sums_are_damaged_is_made_again(whole, fresh, made, tmp_path, name):
    shutil.copytree(made, tmp_path / "c")
    (tmp_path / "c" / name).write_bytes((tmp_path / "c" / name).read_bytes()[:-30])
    assert found([tmp_path / "c"], whole, chain())[0] is None
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


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
    with pytest.raises(DataError, match="1 image could not be made"):
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
    with pytest.raises(DataError, match="1 image could not be made"):
        build(tmp_path / "c", dataset, chain())
    for row in set(range(24)) - {5}:
        spoil(film(dataset, row))
    build(tmp_path / "c", without(dataset, 5), chain(), stop_after=12)
    build(tmp_path / "c", without(dataset, 5), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_what_to_do_is_said_as_whoever_failed_said_it(dataset, tmp_path):
    film(dataset, 3).write_bytes(b"")
    film(dataset, 4).write_bytes(b"a letter")
    with pytest.raises(DataError, match="2 images could not be made") as caught:
        build(tmp_path / "c", dataset, chain())
    assert "organize the download again (its audit leaves out" in caught.value.hint
    assert "give a DICOM, PNG, JPEG" in caught.value.hint
    with pytest.raises(DataError, match="22 images could not be made") as caught:
        build(tmp_path / "frames", without(dataset, 3, 4), chain(frame=5))
    assert caught.value.hint.startswith("choose a frame from 1 to 1; then start this again")
    assert "organize" not in caught.value.hint
    assert "(choose a frame from 1 to 1)" in (tmp_path / "frames" / "failures.txt").read_text()


def test_as_many_are_at_work_as_cores_images_and_memory_allow(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 16)
    for gib, images, workers in [(64, 3000, 16), (8, 3000, 10), (1, 3000, 1), (None, 3000, 16), (64, 24, 3)]:
        monkeypatch.setattr(machine, "memory_gib", lambda gib=gib: gib)
        assert caching._how_many("auto", images) == workers, (gib, images)
    assert caching._how_many(5, 3) == 5


FATAL = """
import os, sys
from pathlib import Path
import tfm.data.making as making

read = making.preprocess_one

def decoder(film, mask, settings):
    if film.stat().st_size == 0:
        os._exit(5)
    return read(film, mask, settings)

making.preprocess_one = decoder  # here, and in each worker, which runs this file first
if __name__ == "__main__":
    from tests.data.caches import building, chain
    from tfm.core.errors import DataError
    from tfm.data.dataset import Dataset
    for _ in range(2):
        try:
            list(building(Path(sys.argv[1]), Dataset.open(Path(sys.argv[2])), chain(), workers=2))
        except DataError as told:
            print(told)
"""


def test_a_film_that_kills_its_decoder_is_named_though_it_is_the_first_or_the_only_one_left(dataset, fresh, tmp_path):
    before = film(dataset, 0).read_bytes(), film(dataset, 0).stat()
    film(dataset, 0).write_bytes(b"")
    (tmp_path / "fatal.py").write_text(FATAL)
    command = [sys.executable, str(tmp_path / "fatal.py"), str(tmp_path / "c"), str(dataset.folder)]
    here = os.environ | {"PYTHONPATH": str(PROJECT)}
    run = subprocess.run(command, env=here, capture_output=True, text=True, check=True)
    assert run.stdout.count("1 image could not be made") == 2
    assert run.stdout.count(film(dataset, 0).name) == 2
    film(dataset, 0).write_bytes(before[0])
    os.utime(film(dataset, 0), ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    for row in range(1, 24):
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == fresh


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
    with pytest.raises(DataError, match="1 image could not be made") as caught:
        list(making)
    assert "Killed" in caught.value.message
    assert sum(film(whole, row).name in caught.value.message for row in range(24)) == 1
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


@pytest.mark.parametrize("odd", [0, 7])
def test_a_chain_that_makes_images_of_8_and_of_16_bits_ends_at_once(dataset, tmp_path, odd):
    image = np.random.default_rng(1).integers(0, 255, (200, 150), dtype=np.uint8)
    film(dataset, odd).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    as_they_are = ChainSettings(steps={name: step for name, step in chain().steps.items() if name == "resize"})
    with pytest.raises(DataError, match=r"64 × 64, uint(16|8), but .* 64 × 64, uint") as told:
        build(tmp_path / "c", dataset, as_they_are)
    assert "the step intensity" in told.value.hint


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
