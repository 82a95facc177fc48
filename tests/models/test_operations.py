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


def test_a_convolution_by_channel_counts_as_memory_only():
    with torch.device("meta"):
        forward, _ = count(nn.Conv2d(1, 8, 3, padding=1, groups=1))
        network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    by_channel, _ = count(network)
    assert by_channel.arithmetic < forward.arithmetic
    assert by_channel.memory > forward.memory


def test_frozen_layers_have_no_backward_pass():
    backwards = []
    for trained in ("all", "last_stage", "head"):
        with torch.device("meta"):
            network = build_model(ModelSettings(architecture="resnet10t"), (64, 64))
            freeze(network, trained)
        backwards.append(count(network, side=64)[1].arithmetic)
    assert backwards == sorted(backwards, reverse=True)
    assert backwards[-1] < 0.01 * backwards[0]


def test_two_measurements_tell_the_seconds_for_operations_and_for_memory():
    dense, by_channel = Operations(10.0, 1.0), Operations(1.0, 5.0)
    assert solve_rates([(dense, 10 * 0.02 + 0.1), (by_channel, 0.02 + 0.5)]) == pytest.approx((0.02, 0.1))
    assert solve_rates([(dense, 1.0), (by_channel, 0.01)]) == pytest.approx((1.01 / 11, 0)), "no rate is negative"
