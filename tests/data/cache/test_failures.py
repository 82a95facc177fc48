"""An image that cannot be made is reported by name with what to do; the others are made and kept."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.caches import build, chain, contents, film, spoil, track_build, without
from tfm.core import machine
from tfm.core.errors import DataError
from tfm.data.cache.build import count_workers
from tfm.data.cache.cache import Cache
from tfm.imaging.settings import ChainSettings

PROJECT = Path(__file__).resolve().parents[3]


def test_an_unreadable_image_is_named_and_the_others_are_made_and_kept(dataset, fresh, tmp_path):
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


def test_a_file_removed_during_the_build_is_one_failure(dataset, tmp_path):
    progress = track_build(tmp_path / "c", dataset, chain())
    assert [next(progress)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    film(dataset, 10).unlink()
    with pytest.raises(DataError, match="1 image could not be made"):
        list(progress)


def test_ten_failures_are_shown_and_all_are_listed(dataset, tmp_path):
    for row in range(3, 24):
        film(dataset, row).unlink()
    with pytest.raises(DataError, match="21 images could not be made") as caught:
        build(tmp_path / "c", dataset, chain())
    assert caught.value.message.endswith("… and 11 more")
    assert len((tmp_path / "c" / "failures.txt").read_text().splitlines()) == 21
    assert "failures.txt" in caught.value.hint


def test_rows_are_kept_when_the_dataset_leaves_the_failures_out(dataset, fresh, tmp_path):
    build(tmp_path / "fresh", without(dataset, 5), chain())
    film(dataset, 5).unlink()
    with pytest.raises(DataError, match="1 image could not be made"):
        build(tmp_path / "c", dataset, chain())
    for row in set(range(24)) - {5}:
        spoil(film(dataset, row))
    build(tmp_path / "c", without(dataset, 5), chain(), stop_after=12)
    build(tmp_path / "c", without(dataset, 5), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_the_hint_repeats_what_each_failure_advises(dataset, tmp_path):
    film(dataset, 3).write_bytes(b"")
    film(dataset, 4).write_bytes(b"a letter")
    with pytest.raises(DataError, match="2 images could not be made") as caught:
        build(tmp_path / "c", dataset, chain())
    assert "organize the download again (its audit leaves out" in caught.value.hint
    assert "DICOM, PNG, JPEG" in caught.value.hint
    with pytest.raises(DataError, match="22 images could not be made") as caught:
        build(tmp_path / "frames", without(dataset, 3, 4), chain(frame=5))
    assert caught.value.hint.startswith("choose a frame from 1 to 1; then start this again")
    assert "organize" not in caught.value.hint
    assert "(choose a frame from 1 to 1)" in (tmp_path / "frames" / "failures.txt").read_text()


def test_cores_images_and_memory_limit_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(machine, "count_cores", lambda: 16)
    for gib, images, workers in [(64, 3000, 16), (8, 3000, 10), (1, 3000, 1), (None, 3000, 16), (64, 24, 3)]:
        monkeypatch.setattr(machine, "read_memory_gib", lambda gib=gib: gib)
        assert count_workers("auto", images) == workers, (gib, images)
    assert count_workers(5, 3) == 5


FATAL = """
import os, sys
from pathlib import Path
import tfm.data.cache.row_maker as row_maker

read = row_maker.preprocess_image

def decoder(film, mask, settings, check):
    if film.stat().st_size == 0:
        os._exit(5)
    return read(film, mask, settings, check)

row_maker.preprocess_image = decoder  # here, and in each worker, which runs this file first
if __name__ == "__main__":
    from tests.data.caches import chain, track_build
    from tfm.core.errors import DataError
    from tfm.data.dataset.dataset import Dataset
    for _ in range(2):
        try:
            list(track_build(Path(sys.argv[1]), Dataset.open(Path(sys.argv[2])), chain(), workers=2))
        except DataError as error:
            print(error)
"""


def test_a_film_that_kills_its_worker_is_named_even_if_it_is_the_first_or_the_only_one_left(dataset, fresh, tmp_path):
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


def test_a_worker_killed_from_outside_costs_no_image(whole, fresh, tmp_path):
    """As a system does that is out of memory. The images that the worker had are made again, one at a time."""
    progress = track_build(tmp_path / "c", whole, chain(), workers=2)
    for _ in range(5):
        next(progress)
    multiprocessing.active_children()[0].kill()
    list(progress)
    assert contents(tmp_path / "c") == fresh


@pytest.mark.parametrize("odd", [0, 7])
def test_a_chain_that_makes_images_of_8_and_16_bits_stops_at_once(dataset, tmp_path, odd):
    image = np.random.default_rng(1).integers(0, 255, (200, 150), dtype=np.uint8)
    film(dataset, odd).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    as_they_are = ChainSettings(steps={name: step for name, step in chain().steps.items() if name == "resize"})
    with pytest.raises(DataError, match=r"64 × 64, uint(16|8), but .* 64 × 64, uint") as error:
        build(tmp_path / "c", dataset, as_they_are)
    assert "the step intensity" in error.value.hint
