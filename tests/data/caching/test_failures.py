"""What cannot be made is named with what to do about it, and the others are done and kept."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.caches import build, building, chain, contents, film, spoil, without
from tfm.core import machine
from tfm.core.errors import DataError
from tfm.data.cache import build as caching
from tfm.data.cache.cache import Cache
from tfm.imaging.settings import ChainSettings

PROJECT = Path(__file__).resolve().parents[3]


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
    monkeypatch.setattr(machine, "count_cores", lambda: 16)
    for gib, images, workers in [(64, 3000, 16), (8, 3000, 10), (1, 3000, 1), (None, 3000, 16), (64, 24, 3)]:
        monkeypatch.setattr(machine, "read_memory_gib", lambda gib=gib: gib)
        assert caching._how_many("auto", images) == workers, (gib, images)
    assert caching._how_many(5, 3) == 5


FATAL = """
import os, sys
from pathlib import Path
import tfm.data.cache.row_maker as making

read = making.preprocess_one

def decoder(film, mask, settings, check):
    if film.stat().st_size == 0:
        os._exit(5)
    return read(film, mask, settings, check)

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
