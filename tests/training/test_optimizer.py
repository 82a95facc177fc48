"""The learning rate at each step, and which weights decay."""

import pytest

from tfm.models.build import build_model
from tfm.models.settings import ModelSettings
from tfm.training.optimizer import get_learning_rate, make_optimizer
from tfm.training.settings import SupervisedOptimizerSettings


def test_learning_rate_rises_and_then_falls_towards_zero():
    settings = SupervisedOptimizerSettings(epochs=10, learning_rate=0.1, warmup_epochs=2)
    rates = [get_learning_rate(settings, step, steps_an_epoch=5) for step in range(50)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[0] < 0.02
    assert 0 < rates[-1] < 0.001


def test_first_step_without_warmup_has_the_full_rate():
    settings = SupervisedOptimizerSettings(epochs=4, learning_rate=0.1, warmup_epochs=0)
    assert get_learning_rate(settings, 0, steps_an_epoch=3) == 0.1


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(name):
    network = build_model(ModelSettings(), (64, 64))
    decaying, spared = make_optimizer(
        network, SupervisedOptimizerSettings(optimizer=name, weight_decay=0.3)
    ).param_groups
    assert (decaying["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {tensor.ndim for tensor in spared["params"]} == {1}
    assert sum(map(len, (decaying["params"], spared["params"]))) == len(list(network.parameters()))
