"""Order, rows and normalisation of batches: what an epoch takes, and that it is the cache's own grey values."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.returned import returned
from tests.training.small_dataset import make_small_dataset, rewrite_manifest
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training import augment
from tfm.training.batches import Images, balance_samples, measure_intensities, shuffle_samples, split_evenly
from tfm.training.inputs.samples import check_learnable, find_samples


@pytest.fixture
def opened(workspace):
    make_small_dataset(workspace)
    return Dataset.open(workspace.dataset_folder("pocket")), Cache.open(workspace.cache_folder("pocket"))


def test_an_epoch_takes_every_image_once_in_batches_of_nearly_one_size():
    batches = split_evenly(shuffle_samples(seed=1, epoch=2, count=50), 16)
    assert sorted(np.concatenate(batches)) == list(range(50))
    assert {len(batch) for batch in batches} == {12, 13}


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("count", [2, 3, 5, 7, 9])
def test_no_batch_is_of_one_image(count, size):
    sizes = [len(batch) for batch in split_evenly(np.arange(count), size)]
    assert sum(sizes) == count
    assert min(sizes) >= 2
    assert max(sizes) <= max(size, 3)


def test_the_order_hangs_on_seed_and_epoch_alone():
    first = shuffle_samples(1, 2, 50)
    np.random.default_rng().random(100)
    assert (np.concatenate(split_evenly(first, 7)) == first).all(), (
        "the batch size cuts the order, and does not change it"
    )
    assert (shuffle_samples(1, 2, 50) == first).all()
    assert (shuffle_samples(1, 3, 50) != first).any()
    assert (shuffle_samples(2, 2, 50) != first).any()


def test_a_balanced_epoch_takes_as_many_of_each_class_and_tells_the_second_time_from_the_first():
    labels = np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    places = balance_samples(seed=1, epoch=2, labels=labels)
    assert len(set(places)) == len(labels), "an image that is taken again is changed in another way"
    taken = labels[places % len(labels)]
    assert (taken.sum(), len(taken)) == (5, 10)
    times = np.bincount(places % len(labels), minlength=10)
    assert sorted(times[labels == 1]) == [2, 3]
    assert times[labels == 0].max() == 1
    assert (balance_samples(1, 2, labels) == places).all()
    assert (balance_samples(1, 3, labels) != places).any()
    assert (places >= 0).all()
    assert (places < len(labels) * 3).all()


def test_a_balanced_epoch_of_one_class_is_refused():
    with pytest.raises(DataError, match="none of the 10 training images is malignant"):
        balance_samples(seed=1, epoch=2, labels=np.zeros(10, int))


def test_an_epochs_own_rows_of_random_numbers_stay_where_images_are_taken_again():
    """So that another balance leaves the first take of an image as it was."""
    assert (augment.draw_table(1, 2, 30)[:10] == augment.draw_table(1, 2, 10)).all()


def test_rows_find_each_image_where_the_cache_has_it(opened):
    dataset, cache = opened
    rows = find_samples(dataset, cache, "val")
    assert list(cache.index["image_id"].iloc[rows.positions]) == list(rows.table["image_id"])
    truth = dataset.manifest.set_index("image_id")["label"]
    assert list(rows.labels) == [int(truth[image] == "malignant") for image in rows.table["image_id"]]


def test_a_cache_of_another_dataset_is_refused(workspace, opened):
    _, cache = opened

    def rename(manifest):
        return manifest.assign(image_id=manifest["image_id"].str.replace("P_train00", "P_9999"))

    rewrite_manifest(workspace, rename)
    with pytest.raises(DataError, match="2 of 36 train images are not in the cache") as refusal:
        find_samples(Dataset.open(workspace.dataset_folder("pocket")), cache, "train")
    assert "preprocess" in refusal.value.hint


@pytest.mark.parametrize(("split", "named"), [("train", "training"), ("val", "validation")])
def test_one_class_only_is_refused_before_anything_is_trained(workspace, opened, split, named):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[(manifest.split != split) | (manifest.label == "benign")])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match=f"{named} images are benign"):
        check_learnable(*(find_samples(dataset, cache, name) for name in ("train", "val", "test")))


def test_an_empty_split_is_refused(workspace, opened):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[manifest.split != "test"])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match="the test split has no images"):
        check_learnable(*(find_samples(dataset, cache, name) for name in ("train", "val", "test")))


def test_normalisation_is_that_of_the_breast_in_the_training_images_alone(opened):
    dataset, cache = opened
    train = find_samples(dataset, cache, "train")
    inside = cache.images[train.positions][cache.breast[train.positions] > 0] / 255
    measured = returned(measure_intensities(cache, train))
    assert measured.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert measured.deviation == pytest.approx(inside.std(), rel=1e-9)


def test_images_without_any_breast_to_learn_from_are_told(opened):
    dataset, cache = opened
    bare = replace(cache, breast=np.zeros_like(cache.breast))
    with pytest.raises(DataError, match="none of the 36 training images has a breast") as refusal:
        returned(measure_intensities(bare, find_samples(dataset, cache, "train")))
    assert "preprocess" in refusal.value.hint


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_batch_is_the_caches_grey_values_in_the_rows_order_normalised(opened, dtype):
    dataset, cache = opened
    white = int(np.iinfo(dtype).max)
    cache = replace(cache, images=cache.images.astype(dtype) * (white // 255))
    train = find_samples(dataset, cache, "train")
    normalisation = returned(measure_intensities(cache, train))
    images = Images(cache, train, normalisation, torch.device("cpu"))
    chosen = np.array([3, 30, 5])
    films = images.load_greys(chosen)
    assert films.dtype == torch.float32
    assert (films.numpy()[:, 0] == (cache.images[train.positions[chosen]].astype(np.float32) / white)).all()
    inside = torch.from_numpy(cache.breast[train.positions] > 0)[:, None]
    whole = images.load(np.arange(len(train)))[inside]
    assert float(whole.mean()) == pytest.approx(0, abs=1e-4)
    assert float(whole.std()) == pytest.approx(1, rel=1e-3)
