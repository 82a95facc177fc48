"""A cache holds the chain's images in the manifest's order, whatever happened while it was made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.intake import catalog_of, choices, written
from tests.data.phantoms import phantom_download
from tfm.core import offers
from tfm.core.errors import DataError
from tfm.core.settings import resolve
from tfm.data import arrange
from tfm.data.cache import Cache, build_cache, refuse_replacing
from tfm.data.dataset import Dataset
from tfm.imaging.chain import preprocess_one
from tfm.imaging.settings import ChainSettings

FAST = offers.preset("preprocess", "fast").settings


def chain(**given: object) -> ChainSettings:
    return resolve(ChainSettings, FAST, {"resize.height": 64, "resize.width": 64} | given)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("cache")
    phantom_download(home / "download", 8, 4, seed=1)
    joined = catalog_of(home / "download", index=home / "headers.sqlite")
    arranged = arrange.arrange(joined, choices(val_share=0.25, seed=0))
    for _ in written(home / "dataset", joined, arranged, home / "download"):
        pass
    return Dataset.open(home / "dataset")


def build(folder: Path, dataset: Dataset, settings: ChainSettings, *, stop_after: int | None = None) -> None:
    folder.mkdir(exist_ok=True)
    making = build_cache(folder, dataset, settings, version=1)
    for done, _ in making:
        if done == stop_after:
            making.close()
            return


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_row_of_the_cache_is_what_the_chain_makes_of_that_image(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    cache = Cache.open(tmp_path / "c")
    assert list(cache.index["image_id"]) == list(dataset.manifest["image_id"])
    row = dataset.manifest.iloc[3]
    film = preprocess_one(dataset.path(row["file"]), dataset.path(row["mask"]), chain())
    assert np.array_equal(cache.images[3], film.image)
    assert np.array_equal(cache.lesions[3], film.lesions)
    assert cache.images.shape == (24, 64, 64)
    assert isinstance(cache.images, np.memmap), "private memory does not grow with the dataset"


@pytest.mark.parametrize("stop_after", [1, 5, 23])
def test_a_cache_that_was_stopped_ends_byte_for_byte_as_an_undisturbed_one(dataset, tmp_path, stop_after):
    build(tmp_path / "calm", dataset, chain())
    build(tmp_path / "stopped", dataset, chain(), stop_after=stop_after)
    with pytest.raises(DataError, match="not a finished cache"):
        Cache.open(tmp_path / "stopped")
    build(tmp_path / "stopped", dataset, chain())
    assert contents(tmp_path / "stopped") == contents(tmp_path / "calm")


def test_rows_whose_log_was_cut_are_made_again(dataset, tmp_path):
    build(tmp_path / "calm", dataset, chain())
    build(tmp_path / "cut", dataset, chain(), stop_after=5)
    log = tmp_path / "cut" / "done.jsonl"
    log.write_text(log.read_text() + '[1, {"ori')
    build(tmp_path / "cut", dataset, chain())
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")


def test_another_chain_makes_other_images_and_never_mixes_with_what_stood(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain(), stop_after=20)
    build(tmp_path / "c", dataset, chain(**{"intensity.high": 90}))
    build(tmp_path / "fresh", dataset, chain(**{"intensity.high": 90}))
    assert contents(tmp_path / "c") == contents(tmp_path / "fresh")


def test_an_image_that_cannot_be_read_is_named_and_never_becomes_a_black_one(dataset, tmp_path):
    victim = dataset.path(dataset.manifest.iloc[2]["file"])
    whole = victim.read_bytes()
    victim.unlink()
    try:
        victim.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError) as caught:
            build(tmp_path / "c", dataset, chain())
        assert victim.name in caught.value.message
        with pytest.raises(DataError):
            Cache.open(tmp_path / "c")
    finally:
        victim.write_bytes(whole)
    build(tmp_path / "c", dataset, chain())
    assert Cache.open(tmp_path / "c").images.max(axis=(1, 2)).min() > 0


def test_a_cache_that_other_steps_made_is_never_replaced_and_a_damaged_one_is_made_again(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    before = contents(tmp_path / "c")
    with pytest.raises(DataError, match="made with other settings"):
        refuse_replacing(tmp_path / "c", dataset, chain(**{"intensity.high": 90}))
    refuse_replacing(tmp_path / "c", dataset, chain())
    (tmp_path / "c" / "images.npy").write_bytes(before["images.npy"][:1000])
    with pytest.raises(DataError, match="damaged"):
        Cache.open(tmp_path / "c")
    build(tmp_path / "c", dataset, chain())
    assert contents(tmp_path / "c") == before


def test_an_intact_cache_is_not_made_again(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    before = (tmp_path / "c" / "images.npy").stat().st_ino
    build(tmp_path / "c", dataset, chain())
    assert (tmp_path / "c" / "images.npy").stat().st_ino == before


def test_another_datasets_cache_is_never_replaced(dataset, tmp_path):
    build(tmp_path / "c", dataset, chain())
    other = replace(dataset, folder=dataset.folder.with_name("another"))
    with pytest.raises(DataError, match="of another dataset"):
        refuse_replacing(tmp_path / "c", other, chain())


def test_the_same_steps_in_another_order_are_another_chain(dataset, tmp_path):
    forth = chain()
    back = ChainSettings(steps=dict(reversed(forth.steps.items())))
    build(tmp_path / "c", dataset, forth)
    with pytest.raises(DataError, match="other settings"):
        refuse_replacing(tmp_path / "c", dataset, back)
