"""A dataset that lies on the device is learned from as the one on the disk: the same bits, by a shorter way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.bench_top import BenchTop, learn
from tests.training.test_fit import flat
from tests.training.test_loop import Silhouette, linear
from tfm.core.events import Note
from tfm.training import gpu_cache
from tfm.training.checkpoint import read


@pytest.fixture(scope="module")
def bench_top(tmp_path_factory):
    return BenchTop(tmp_path_factory.mktemp("bench_top"))


def kept(training, free=2**40):
    told = [event.text for event in gpu_cache.keep(training, free) if isinstance(event, Note)]
    return training, *told


def blind(cache):
    """The cache, with nothing left to be read from it."""
    return replace(cache, **{name: np.zeros_like(getattr(cache, name)) for name in ("images", "breast", "lesions")})


def test_a_kept_dataset_is_learned_from_to_the_same_bits(bench_top, monkeypatch):
    folders = [bench_top.new_folder() for _ in range(2)]
    learn(bench_top.training({"ema": 0.5}), folders[0])
    training, told = kept(bench_top.training({"ema": 0.5}))
    assert "are kept on the device: they are at most a quarter" in told
    training.train, training.val = (
        replace(images, cache=blind(images.cache)) for images in (training.train, training.val)
    )
    learn(training, folders[1])
    assert flat(read(folders[0] / "last.pt")) == flat(read(folders[1] / "last.pt"))
    assert (folders[0] / "metrics.csv").read_bytes() == (folders[1] / "metrics.csv").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_array_comes_back_as_it_was(bench_top, dtype):
    training = bench_top.training()
    training.task = Silhouette()
    grey = bench_top.cache.images.astype(dtype) * (np.iinfo(dtype).max // 255)
    training.train = replace(training.train, cache=replace(bench_top.cache, images=grey))
    chosen = np.array([5, 0, 5, 2])
    before = training.train.films(chosen), training.train.truth(chosen, {"breast", "lesions"})
    after, _ = kept(training)
    assert set(after.train.kept) == {"images", "breast", "lesions"}
    there = replace(after.train, cache=blind(after.train.cache))
    assert torch.equal(there.films(chosen), before[0])
    for name, masks in there.truth(chosen, {"breast", "lesions"}).items():
        assert torch.equal(masks, before[1][name])


def test_what_takes_more_than_a_quarter_of_the_free_memory_stays_where_it_is(bench_top):
    size = bench_top.cache.images.nbytes
    training, told = kept(linear(bench_top.training()), free=4 * size - 1)
    assert not training.train.kept
    assert "are read from the disk: they are more than a quarter" in told
    training, _ = kept(training, free=4 * size)
    assert set(training.train.kept) == set(training.val.kept) == {"images"}
