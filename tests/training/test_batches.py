"""Order, balance and normalisation of the batches of an epoch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.returned import returned
from tests.training.small_dataset import make_small_dataset
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training import augment
from tfm.training.batches import Images, balance_samples, measure_intensities, shuffle_samples, split_evenly
from tfm.training.inputs.samples import find_samples


@pytest.fixture
def opened(workspace):
    make_small_dataset(workspace)
    return Dataset.open(workspace.dataset_folder("pocket")), Cache.open(workspace.cache_folder("pocket"))


def test_epoch_takes_every_image_once_in_batches_of_nearly_equal_size():
    batches = split_evenly(shuffle_samples(seed=1, epoch=2, count=50), 16)
    assert sorted(np.concatenate(batches)) == list(range(50))
    assert {len(batch) for batch in batches} == {12, 13}


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("count", [2, 3, 5, 7, 9])
def test_no_batch_has_a_single_image(count, size):
    sizes = [len(batch) for batch in split_evenly(np.arange(count), size)]
    assert sum(sizes) == count
    assert min(sizes) >= 2
    assert max(sizes) <= max(size, 3)


def test_order_depends_only_on_seed_and_epoch():
    first = shuffle_samples(1, 2, 50)
    np.random.default_rng().random(100)
    assert (np.concatenate(split_evenly(first, 7)) == first).all(), (
        "the batch size cuts the order, and does not change it"
    )
    assert (shuffle_samples(1, 2, 50) == first).all()
    assert (shuffle_samples(1, 3, 50) != first).any()
    assert (shuffle_samples(2, 2, 50) != first).any()


def test_balanced_epoch_takes_equally_many_of_each_class_and_numbers_repetitions():
    labels = np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    places = balance_samples(seed=1, epoch=2, labels=labels)
    assert len(set(places)) == len(labels), "a repeated image is augmented in another way"
    labels_taken = labels[places % len(labels)]
    assert (labels_taken.sum(), len(labels_taken)) == (5, 10)
    times = np.bincount(places % len(labels), minlength=10)
    assert sorted(times[labels == 1]) == [2, 3]
    assert times[labels == 0].max() == 1
    assert (balance_samples(1, 2, labels) == places).all()
    assert (balance_samples(1, 3, labels) != places).any()
    assert (places >= 0).all()
    assert (places < len(labels) * 3).all()


def test_balanced_epoch_of_one_class_is_refused():
    with pytest.raises(DataError, match="none of the 10 training images is malignant"):
        balance_samples(seed=1, epoch=2, labels=np.zeros(10, int))


def test_repeating_images_keeps_the_random_numbers_of_the_first_time():
    assert (augment.draw_table(1, 2, 30)[:10] == augment.draw_table(1, 2, 10)).all()


def test_normalisation_uses_only_breast_pixels_of_training_images(opened):
    dataset, cache = opened
    train = find_samples(dataset, cache, "train")
    inside = cache.images[train.positions][cache.breast[train.positions] > 0] / 255
    measured = returned(measure_intensities(cache, train))
    assert measured.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert measured.deviation == pytest.approx(inside.std(), rel=1e-9)


def test_training_images_without_breast_masks_are_refused(opened):
    dataset, cache = opened
    bare = replace(cache, breast=np.zeros_like(cache.breast))
    with pytest.raises(DataError, match="none of the 36 training images has a breast") as refusal:
        returned(measure_intensities(bare, find_samples(dataset, cache, "train")))
    assert "preprocess" in refusal.value.hint


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_batch_holds_normalised_grey_values_in_the_order_of_the_samples(opened, dtype):
    dataset, cache = opened
    white = int(np.iinfo(dtype).max)
    cache = replace(cache, images=cache.images.astype(dtype) * (white // 255))
    train = find_samples(dataset, cache, "train")
    normalisation = returned(measure_intensities(cache, train))
    images = Images(cache, train, normalisation, torch.device("cpu"))
    chosen = np.array([3, 30, 5])
    greys = images.load_greys(chosen)
    assert greys.dtype == torch.float32
    assert (greys.numpy()[:, 0] == (cache.images[train.positions[chosen]].astype(np.float32) / white)).all()
    inside = torch.from_numpy(cache.breast[train.positions] > 0)[:, None]
    whole = images.load(np.arange(len(train)))[inside]
    assert float(whole.mean()) == pytest.approx(0, abs=1e-4)
    assert float(whole.std()) == pytest.approx(1, rel=1e-3)
