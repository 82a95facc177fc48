"""Operations are those that a textbook counts, and what is not trained has no backward pass."""

import pytest
import torch
from torch import nn

from tfm.models.build import build_model
from tfm.models.freezing import freeze
from tfm.models.operations import Operations, count_operations
from tfm.models.settings import ModelSettings
from tfm.training.speed_probe import solve_rates


def count(network, side=32, images=2):
    return count_operations(network, torch.empty(images, 1, side, side, device="meta"))


def test_a_convolution_has_two_operations_for_each_weight_and_pixel_and_twice_as_many_backwards():
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1))
    forward, backward = count(network)
    first, second = (2 * 8 * inputs * 9 * 32 * 32 / 1e9 for inputs in (1, 8))
    assert forward.arithmetic == pytest.approx(first + second)
    assert backward.arithmetic == pytest.approx(first + 2 * second), "the first has no gradient of its input"


def test_a_convolution_by_channel_counts_by_its_memory_and_apart():
    with torch.device("meta"):
        dense, _ = count(nn.Conv2d(1, 8, 1))
        both, _ = count(nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)))
    assert (both.arithmetic, both.memory) == (dense.arithmetic, dense.memory)
    assert dense.by_channel == 0
    assert both.by_channel == pytest.approx(4 * 2 * 8 * 32 * 32 / 1e9, rel=0.05), "it reads and writes eight maps"


def test_only_large_new_tensors_count_as_fresh_memory():
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 32, 1), nn.ReLU(inplace=True))
    assert count(network, side=64)[0].fresh == 0
    assert count(network, side=256)[0].fresh == pytest.approx(4 * 32 * 256 * 256 / 1e9), "the second is in place"


def test_frozen_layers_have_no_backward_pass():
    backwards = []
    for trained in ("all", "last_stage", "head"):
        with torch.device("meta"):
            network = build_model(ModelSettings(architecture="resnet10t"), (64, 64))
            freeze(network, trained)
        backwards.append(count(network, side=64)[1].arithmetic)
    assert backwards == sorted(backwards, reverse=True)
    assert backwards[-1] < 0.01 * backwards[0]


def test_three_measurements_tell_the_seconds_for_each_kind_of_work():
    networks = [Operations(10, 1, 0, 0), Operations(1, 1, 2, 0), Operations(1, 5, 0, 0)]
    rates = (0.02, 0.1, 0.4)
    seconds = [10 * 0.02 + 0.1, 0.02 + 0.1 + 2 * 0.4, 0.02 + 5 * 0.1]
    assert solve_rates(list(zip(networks, seconds, strict=True))) == pytest.approx(rates)
    assert min(solve_rates(list(zip(networks, [1.0, 0.01, 0.01], strict=True)))) >= 0, "no rate is negative"
