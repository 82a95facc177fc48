"""Arrays kept on the device give the same bits as those read from the disk."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.small_training import BreastAreaTask, SmallTrainings, train_to_end, use_linear_network
from tfm.core.events import Note
from tfm.training import gpu_cache
from tfm.training.checkpoint import read_checkpoint
from tfm.training.results import flatten_checkpoint


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def keep_on_device(training, free=2**40):
    note = [event.text for event in gpu_cache.keep_arrays(training, free) if isinstance(event, Note)]
    return training, *note


def clear_arrays(cache):
    """The cache with zeros in place of its arrays."""
    return replace(cache, **{name: np.zeros_like(getattr(cache, name)) for name in ("images", "breast", "lesions")})


def test_training_on_cached_arrays_is_bit_identical(trainings, monkeypatch):
    folders = [trainings.new_folder() for _ in range(2)]
    train_to_end(trainings.make({"ema": 0.5}), folders[0])
    training, note = keep_on_device(trainings.make({"ema": 0.5}))
    assert "are kept on the device: they take at most a quarter" in note
    training.train, training.val = (
        replace(images, cache=clear_arrays(images.cache)) for images in (training.train, training.val)
    )
    train_to_end(training, folders[1])
    assert flatten_checkpoint(read_checkpoint(folders[0] / "last.pt")) == flatten_checkpoint(
        read_checkpoint(folders[1] / "last.pt")
    )
    assert (folders[0] / "metrics.csv").read_bytes() == (folders[1] / "metrics.csv").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cached_arrays_equal_those_on_disk(trainings, dtype):
    training = trainings.make()
    training.task = BreastAreaTask()
    grey = trainings.cache.images.astype(dtype) * (np.iinfo(dtype).max // 255)
    training.train = replace(training.train, cache=replace(trainings.cache, images=grey))
    chosen = np.array([5, 0, 5, 2])
    before = training.train.load_greys(chosen), training.train.load_targets(chosen, {"breast", "lesions"})
    after, _ = keep_on_device(training)
    assert set(after.train.arrays_on_device) == {"images", "breast", "lesions"}
    there = replace(after.train, cache=clear_arrays(after.train.cache))
    assert torch.equal(there.load_greys(chosen), before[0])
    for name, masks in there.load_targets(chosen, {"breast", "lesions"}).items():
        assert torch.equal(masks, before[1][name])


def test_arrays_larger_than_a_quarter_of_the_free_memory_stay_on_disk(trainings):
    size = trainings.cache.images.nbytes
    training, note = keep_on_device(use_linear_network(trainings.make()), free=4 * size - 1)
    assert not training.train.arrays_on_device
    assert "are read from the disk: they take more than a quarter" in note
    training, _ = keep_on_device(training, free=4 * size)
    assert set(training.train.arrays_on_device) == set(training.val.arrays_on_device) == {"images"}
