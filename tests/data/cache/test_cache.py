"""A cache is opened whole or not at all, and read without being loaded."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.caches import build, chain, contents, dataset_of, small_download
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.chain import preprocess_image


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("cache")
    return dataset_of(small_download(home), home / "dataset")


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "c"
    build(folder, dataset, chain())
    return folder


@pytest.fixture
def standing(made: Path, tmp_path: Path) -> Path:
    """One to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "c"))


def test_a_row_of_the_cache_is_what_the_chain_makes_of_that_image(dataset, made):
    cache = Cache.open(made)
    assert list(cache.index["image_id"]) == sorted(dataset.manifest["image_id"])
    row = dataset.manifest.set_index("image_id").loc[cache.index["image_id"][3]]
    film = preprocess_image(dataset.path(row["file"]), dataset.path(row["mask"]), chain())
    assert np.array_equal(cache.images[3], film.image)
    assert np.array_equal(cache.breast[3], film.breast)
    assert np.array_equal(cache.lesions[3], film.lesions)
    assert cache.index["sop_uid"][3] == row["sop_uid"]
    assert cache.images.shape == (24, 64, 64)
    assert isinstance(cache.images, np.memmap), "private memory does not grow with the dataset"


def test_sixteen_bits_stay_sixteen(dataset, tmp_path):
    fine = chain(**{"intensity.bits": 16})
    build(tmp_path / "c", dataset, fine)
    cache = Cache.open(tmp_path / "c")
    row = dataset.manifest.sort_values("image_id").iloc[-1]
    film = preprocess_image(dataset.path(row["file"]), dataset.path(row["mask"]), fine)
    assert cache.images.dtype == np.uint16
    assert np.array_equal(cache.images[-1], film.image)
    assert np.array_equal(cache.lesions[-1], film.lesions)


def test_its_files_are_all_that_a_fresh_build_makes_but_its_sums(made):
    assert {path.name for path in Cache.open(made).files} == set(contents(made)) - {"sums.json"}


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: (folder / "index.csv").unlink(), "not a finished cache"),
        (lambda folder: shutil.rmtree(folder), "there is no cache called"),
        (lambda folder: (folder / "images.npy").write_bytes(b"\x93NUMPY"), "damaged"),
        (lambda folder: (folder / "lesions.npy").unlink(), "damaged"),
        (lambda folder: (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:1000]), "damaged"),
        (lambda folder: np.save(folder / "breast.npy", np.zeros((24, 64, 32), np.uint8)), "do not match"),
        (lambda folder: np.save(folder / "breast.npy", np.zeros((23, 64, 64), np.uint8)), "do not match"),
        (lambda folder: np.save(folder / "images.npy", np.zeros((24, 64, 64), np.float32)), "float32"),
    ],
)
def test_what_is_damaged_is_refused_in_words(standing, damage, what):
    damage(standing)
    with pytest.raises(DataError, match=what) as refusal:
        Cache.open(standing)
    assert "preprocess" in refusal.value.hint


def test_a_cache_that_is_replaced_while_it_is_opened_is_never_half_old_and_half_new(standing, monkeypatch):
    before = (standing / "index.csv").read_bytes()
    load = np.load

    def replaced_meanwhile(*given, **named):
        (standing / "index.csv").unlink()
        (standing / "index.csv").write_bytes(before)
        return load(*given, **named)

    monkeypatch.setattr(np, "load", replaced_meanwhile)
    with pytest.raises(DataError, match="being replaced"):
        Cache.open(standing)


def test_one_picture_under_several_names_is_told_among_those_asked_for(dataset, tmp_path):
    ids = sorted(dataset.manifest["image_id"])
    first, twin = (dataset.path(dataset.manifest.set_index("image_id").loc[name, "file"]) for name in (ids[0], ids[9]))
    before = twin.read_bytes()
    try:
        twin.unlink()
        shutil.copy(first, twin)
        build(tmp_path / "c", dataset, chain())
    finally:
        twin.unlink()
        twin.write_bytes(before)
    cache = Cache.open(tmp_path / "c")
    assert cache.find_same_pixels(ids) == [[ids[0], ids[9]]]
    assert cache.find_same_pixels(ids[1:]) == []
