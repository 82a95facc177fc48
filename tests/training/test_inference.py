"""Predictions for whole splits."""

from dataclasses import replace

import pytest
import torch

from tests.returned import returned
from tests.training.small_training import SmallTrainings
from tfm.training.inference import predict_logits


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def test_tta_averages_an_image_and_its_mirror_image(trainings):
    training = trainings.make()
    logits = {}
    for name, images, tta in [("plain", training.val, False), ("both", training.val, True)]:
        logits[name] = returned(predict_logits(training.task, training.network, images, 4, name, tta=tta))
    mirrored = replace(training.val, cache=replace(trainings.cache, images=trainings.cache.images[:, :, ::-1].copy()))
    other = returned(predict_logits(training.task, training.network, mirrored, 4, "mirrored"))
    assert torch.allclose(logits["both"], (logits["plain"] + other) / 2, atol=1e-6)
    assert not torch.allclose(logits["both"], logits["plain"], atol=1e-6)
