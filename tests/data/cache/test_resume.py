"""A resumed build ends byte for byte as an undisturbed one and makes no row twice, whatever stopped it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.caches import (
    build,
    chain,
    contents,
    dataset_of,
    film,
    mask,
    search,
    spoil,
    touch,
    track_build,
    unfinished_rows,
    without,
)
from tfm.core.errors import DataError
from tfm.core.events import Progress
from tfm.data.cache.cache import Cache
from tfm.data.cache.manifest import refuse_replacing
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.settings import ChainSettings

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("stop_after", [0, 1, 5, 23])
def test_a_stopped_build_ends_byte_for_byte_as_an_undisturbed_one(whole, fresh, tmp_path, stop_after):
    build(tmp_path / "c", whole, chain(), stop_after=stop_after)
    with pytest.raises(DataError, match="not a finished cache"):
        Cache.open(tmp_path / "c")
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_rows_made_before_a_stop_are_not_made_again(dataset, fresh, tmp_path):
    build(tmp_path / "c", dataset, chain(), stop_after=7)
    for row in range(7):
        spoil(film(dataset, row))
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_damaged_row_is_removed_and_made_again(whole, fresh, tmp_path):
    """As a power cut may leave it."""
    build(tmp_path / "c", whole, chain(), stop_after=5)
    row = unfinished_rows(tmp_path / "c")[2]
    row.write_bytes(row.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        build(tmp_path / "c", whole, chain())
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_a_film_that_changed_and_changed_back_has_its_first_row(dataset, fresh, tmp_path):
    path = film(dataset, 2)
    before = (path.read_bytes(), path.stat())
    build(tmp_path / "c", dataset, chain(), stop_after=5)
    shutil.copy2(film(dataset, 9), path)
    progress = track_build(tmp_path / "c", dataset, chain())
    assert [next(progress)[0] for _ in range(2)] == [4, 5]
    progress.close()
    path.write_bytes(before[0])
    os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == fresh


def test_an_unfinished_build_of_an_older_version_is_discarded(whole, fresh, made, tmp_path):
    """It held arrays and a log of the rows that were done."""
    for name in (".building", ".earlier"):
        shutil.copytree(made, tmp_path / "c" / name)
        (tmp_path / "c" / name / "index.csv").unlink()
        (tmp_path / "c" / name / "done.jsonl").write_text("[0]\n")
    assert next(track_build(tmp_path / "c", whole, chain())) == (0, 24)
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_two_workers_make_the_same_cache_as_one_process_and_resume_its_build(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=3)
    build(tmp_path / "c", whole, chain(), stop_after=9, workers=2)
    build(tmp_path / "c", whole, chain(), workers=2)
    assert contents(tmp_path / "c") == fresh


KILLED = """
import sys, time
from pathlib import Path
from tests.data.caches import chain, track_build
from tfm.data.dataset.dataset import Dataset
if __name__ == "__main__":
    for done, total in track_build(Path(sys.argv[1]), Dataset.open(Path(sys.argv[2])), chain(), workers=2):
        print(done, flush=True)
"""


def test_a_killed_build_with_two_workers_ends_bit_identical(whole, fresh, tmp_path):
    for at in (2, 15):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "c"), str(whole.folder)]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= at:
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
KILLED_HERE = 9


def finishes_within(work: Callable[[], None], *, changes: int) -> bool:
    """Do the work in a process that is killed after `changes` changes to a folder; return whether it finished."""
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
def test_a_kill_at_any_change_of_the_folder_is_repaired_at_the_next_start(dataset, tmp_path):
    """All rows exist, in the old cache or in an unfinished build with other images: what is killed is the packing, the
    replacing and the removing."""
    few = without(dataset, *range(4, 24))
    old, path, scan = tmp_path / "old", film(few, 3), film(few, 3).read_bytes()
    shutil.copy(film(few, 0), path)
    build(old, few, chain())
    before = contents(old)
    path.write_bytes(scan)
    build(tmp_path / "fresh", few, chain())
    fresh = contents(tmp_path / "fresh")
    build(old, without(few, 2), chain(), stop_after=3)
    changes = 0
    while True:
        home = Path(shutil.copytree(old, tmp_path / str(changes) / "c"))
        ended = finishes_within(lambda home=home: build(home, few, chain()), changes=changes)
        with contextlib.suppress(DataError):
            opened = {path.name: path.read_bytes() for path in Cache.open(home).files}
            assert opened.items() <= before.items() or opened.items() <= fresh.items(), "never half and half"
        build(home, few, chain())
        assert contents(home) == fresh, f"killed before change {changes}"
        shutil.rmtree(home)
        if ended:
            break
        changes += 1
    assert changes > 35, "it was killed at each change"


def test_only_what_changed_is_made_again(dataset, fresh, copied, tmp_path):
    shutil.copy(film(dataset, 9), film(dataset, 4))
    shutil.copy(mask(dataset, 9), mask(dataset, 6))
    build(tmp_path / "fresh", dataset, chain())
    for row in set(range(24)) - {4, 6}:
        spoil(film(dataset, row))
    build(copied, dataset, chain())
    made = contents(copied)
    assert made == contents(tmp_path / "fresh")
    rows = zip(made["index.csv"].splitlines()[1:], fresh["index.csv"].splitlines()[1:], strict=True)
    assert [number for number, (now, before) in enumerate(rows) if now != before] == [4, 6], (
        "the index shows which rows changed"
    )


def test_added_images_are_made_and_removed_ones_are_left_out(dataset, fresh, tmp_path):
    build(tmp_path / "c", without(dataset, 2, 20), chain())
    build(tmp_path / "fresh", without(dataset, 5), chain())
    for row in set(range(24)) - {2, 20}:
        spoil(film(dataset, row))
    build(tmp_path / "c", without(dataset, 5), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_a_new_scan_under_the_same_name_is_made_again(dataset, fresh, copied):
    manifest = dataset.manifest.assign(sop_uid=dataset.manifest["sop_uid"] + ".1")
    spoil(film(dataset, 0))
    with pytest.raises(DataError, match="1 image could not be made"):
        build(copied, replace(dataset, manifest=manifest), chain())


def test_a_mask_written_again_with_the_same_content_is_the_same_mask(dataset, copied):
    for row in range(24):
        touch(mask(dataset, row))
        spoil(film(dataset, row))
    build(copied, dataset, chain())


def test_a_damaged_cache_is_made_again_and_an_intact_one_is_not(whole, fresh, copied):
    images = copied / "images.npy"
    before = images.stat().st_ino
    build(copied, whole, chain())
    assert images.stat().st_ino == before
    with open(images, "r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    build(copied, whole, chain())
    assert contents(copied) == fresh


def test_a_training_that_mapped_the_old_arrays_keeps_them(dataset, copied):
    mapped = Cache.open(copied)
    before = np.array(mapped.images)
    shutil.copy(film(dataset, 9), film(dataset, 0))
    build(copied, dataset, chain())
    assert np.array_equal(mapped.images, before)
    assert not np.array_equal(Cache.open(copied).images, before)


def test_a_new_version_makes_all_rows_again(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), version=0)
    inode = (tmp_path / "c" / "images.npy").stat().st_ino
    assert contents(tmp_path / "c")["settings.yaml"] != fresh["settings.yaml"]
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh
    assert (tmp_path / "c" / "images.npy").stat().st_ino != inode


def test_a_cache_of_an_older_version_is_made_again_though_its_settings_had_other_keys(whole, fresh, tmp_path):
    build(tmp_path / "c", whole, chain(), version=0)
    settings = tmp_path / "c" / "settings.yaml"
    assert "frame: middle\n" in settings.read_text()
    settings.write_text(settings.read_text().replace("frame: middle\n", ""))
    build(tmp_path / "c", whole, chain())
    assert contents(tmp_path / "c") == fresh


def test_rows_of_another_chain_are_never_mixed_in(whole, tmp_path):
    build(tmp_path / "c", whole, chain(), stop_after=20)
    build(tmp_path / "c", whole, chain(**{"intensity.high": 90}))
    build(tmp_path / "fresh", whole, chain(**{"intensity.high": 90}))
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_a_cache_made_by_other_steps_is_never_replaced(whole, fresh, copied):
    steps = dict(chain().steps)
    back = ChainSettings(steps={**{name: steps.pop(name) for name in ("annotations", "crop_breast")}, **steps})
    assert dict(back.steps) == dict(chain().steps)
    for other in (chain(**{"intensity.high": 90}), back):
        with pytest.raises(DataError, match="made with other settings"):
            build(copied, whole, other)
    refuse_replacing(copied, whole, chain(), 1)
    assert contents(copied) == fresh


def test_another_datasets_cache_is_never_replaced_but_used_if_it_has_all_images(dataset, fresh, copied, tmp_path):
    other = Dataset.open(Path(shutil.copytree(dataset.folder, tmp_path / "dataset" / "another")))
    with pytest.raises(DataError, match="of another dataset"):
        refuse_replacing(copied, other, chain(), 1)
    build(copied, without(other, 3), chain())
    assert contents(copied) == fresh
    touch(film(other, 3))
    with pytest.raises(DataError, match="of another dataset"):
        build(copied, other, chain())
    assert contents(copied) == fresh


def test_another_split_of_the_same_images_uses_the_same_cache(download, whole, fresh, tmp_path):
    other = dataset_of(download, tmp_path / "folds", split="kfold", seed=5)
    assert list(other.manifest["split"]) != list(whole.manifest["split"])
    other = replace(other, manifest=other.manifest.sort_values("split"))
    build(tmp_path / "c", other, chain())
    assert contents(tmp_path / "c") == fresh
    assert search([tmp_path / "c"], whole, chain())[0] == "c"


def test_a_cache_is_found_only_if_it_has_every_row(dataset, copied, tmp_path):
    build(tmp_path / "part", without(dataset, 3), chain())
    build(tmp_path / "unfinished", dataset, chain(), stop_after=9)
    folders = [tmp_path / name for name in ("none", "part", "unfinished", "c")]
    assert search(folders, dataset, chain())[0] == "c"
    assert search(folders, without(dataset, 3), chain())[0] == "part"
    assert search(folders, without(dataset, 4), chain())[0] == "c", "it may have more rows"
    assert search(folders, dataset, chain(**{"intensity.high": 90}))[0] is None
    assert search(folders, dataset, chain(), 2)[0] is None
    touch(film(dataset, 4))
    assert search(folders, dataset, chain())[0] is None
    touch(film(dataset, 4), later=-1)
    (copied / "images.npy").write_bytes((copied / "images.npy").read_bytes()[:-1])
    assert search(folders, dataset, chain())[0] is None


def test_only_a_cache_with_every_row_is_read_through_with_an_event_for_each_image(dataset, copied, tmp_path):
    build(tmp_path / "part", without(dataset, 3), chain())
    _, events = search([tmp_path / "part", copied], dataset, chain())
    for name in ("compared", "checked"):
        counts = [event for event in events if isinstance(event, Progress) and event.name == name]
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
def test_a_damaged_cache_does_not_block_the_others(whole, fresh, made, tmp_path, name, content):
    for copy in ("bad", "good"):
        shutil.copytree(made, tmp_path / copy)
    (tmp_path / "bad" / name).write_bytes(content)
    assert search([tmp_path / "bad", tmp_path / "good"], whole, chain())[0] == "good"
    with pytest.raises(DataError, match="damaged") as error:
        build(tmp_path / "bad", whole, chain())
    assert "setting: cache=" in error.value.hint
    assert contents(tmp_path / "good") == fresh


@pytest.mark.parametrize("name", ["index.csv", "sums.json"])
def test_a_cache_with_a_damaged_index_or_checksum_file_is_made_again(whole, fresh, copied, name):
    (copied / name).write_bytes((copied / name).read_bytes()[:-30])
    assert search([copied], whole, chain())[0] is None
    build(copied, whole, chain())
    assert contents(copied) == fresh
