"""Errors of a device are explained with what to do about them."""

import functools

import pytest
import torch
from torch import nn

from tests.returned import returned
from tests.training.small_training import SmallTrainings, train_to_end
from tfm.core.errors import HaltedError, TrainingError
from tfm.models.head import find_last_layer
from tfm.training.frozen_features import extract_features
from tfm.training.inference import predict_logits


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def test_nondeterministic_operation_is_named_with_a_hint(trainings, monkeypatch):
    training = trainings.make()
    unpool = functools.partial(nn.functional.max_unpool2d, torch.rand(1, 2, 2), torch.arange(4).view(1, 2, 2), 2)
    monkeypatch.setattr(type(training.task), "compute_loss", lambda *_: unpool())
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(TrainingError, match=r"needs max_unpool.*, which cpu cannot compute") as refusal:
            train_to_end(training, trainings.new_folder())
    finally:
        torch.use_deterministic_algorithms(before)
    assert "deterministic=false" in refusal.value.hint


def raise_out_of_memory(*_):
    torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("where", ["compute_loss", "predict"])
def test_out_of_memory_in_a_step_or_in_validation_gives_a_hint(trainings, monkeypatch, where):
    training = trainings.make()
    monkeypatch.setattr(type(training.task), where, raise_out_of_memory)
    with pytest.raises(TrainingError, match="memory of cpu is too small for batches of 4") as refusal:
        train_to_end(training, trainings.new_folder())
    assert "setting: accumulate" in refusal.value.hint


@pytest.mark.parametrize(
    ("message", "error"), [("CUDA error: out of memory", TrainingError), ("CUDA error: device lost", HaltedError)]
)
def test_failing_gpu_halts_a_run_and_a_small_one_fails_it(trainings, monkeypatch, message, error):
    def failing(*_):
        raise RuntimeError(f"{message}\nCUDA kernel errors might be reported elsewhere")

    training = trainings.make()
    monkeypatch.setattr(type(training.task), "compute_loss", failing)
    with pytest.raises(error):
        train_to_end(training, trainings.new_folder())


def test_out_of_memory_in_prediction_or_feature_extraction_is_explained(trainings):
    training = trainings.make()
    training.network.forward_features = raise_out_of_memory
    for prediction in (
        predict_logits(training.task, training.network, training.val, 4, "predicting test"),
        extract_features(
            training.network,
            find_last_layer(training.network),
            training.val,
            4,
            trainings.new_folder() / "val.npy",
            name="features",
        ),
    ):
        with pytest.raises(TrainingError, match="memory of cpu is too small for batches of 4"):
            returned(prediction)
