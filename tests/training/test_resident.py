"""A dataset that lies on the device is learned from as the one on the disk: the same bits, by a shorter way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.small_training import SmallTrainings, train_to_end
from tests.training.test_fit import flat
from tests.training.test_loop import Silhouette, linear
from tfm.core.events import Note
from tfm.training import gpu_cache
from tfm.training.checkpoint import read_checkpoint


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def kept(training, free=2**40):
    told = [event.text for event in gpu_cache.keep_arrays(training, free) if isinstance(event, Note)]
    return training, *told


def blind(cache):
    """The cache, with nothing left to be read from it."""
    return replace(cache, **{name: np.zeros_like(getattr(cache, name)) for name in ("images", "breast", "lesions")})


def test_a_kept_dataset_is_learned_from_to_the_same_bits(trainings, monkeypatch):
    folders = [trainings.new_folder() for _ in range(2)]
    train_to_end(trainings.make({"ema": 0.5}), folders[0])
    training, told = kept(trainings.make({"ema": 0.5}))
    assert "are kept on the device: they take at most a quarter" in told
    training.train, training.val = (
        replace(images, cache=blind(images.cache)) for images in (training.train, training.val)
    )
    train_to_end(training, folders[1])
    assert flat(read_checkpoint(folders[0] / "last.pt")) == flat(read_checkpoint(folders[1] / "last.pt"))
    assert (folders[0] / "metrics.csv").read_bytes() == (folders[1] / "metrics.csv").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_array_comes_back_as_it_was(trainings, dtype):
    training = trainings.make()
    training.task = Silhouette()
    grey = trainings.cache.images.astype(dtype) * (np.iinfo(dtype).max // 255)
    training.train = replace(training.train, cache=replace(trainings.cache, images=grey))
    chosen = np.array([5, 0, 5, 2])
    before = training.train.load_greys(chosen), training.train.load_targets(chosen, {"breast", "lesions"})
    after, _ = kept(training)
    assert set(after.train.arrays_on_device) == {"images", "breast", "lesions"}
    there = replace(after.train, cache=blind(after.train.cache))
    assert torch.equal(there.load_greys(chosen), before[0])
    for name, masks in there.load_targets(chosen, {"breast", "lesions"}).items():
        assert torch.equal(masks, before[1][name])


def test_what_takes_more_than_a_quarter_of_the_free_memory_stays_where_it_is(trainings):
    size = trainings.cache.images.nbytes
    training, told = kept(linear(trainings.make()), free=4 * size - 1)
    assert not training.train.arrays_on_device
    assert "are read from the disk: they take more than a quarter" in told
    training, _ = kept(training, free=4 * size)
    assert set(training.train.arrays_on_device) == set(training.val.arrays_on_device) == {"images"}
