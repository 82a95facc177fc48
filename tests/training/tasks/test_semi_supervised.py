"""Images without a label: pseudo-labels and a mean teacher."""

import copy

import numpy as np
import pytest
import torch

from tests.training.small_training import SmallTrainings
from tests.training.tasks.swin_batch import PLAIN, make_batch, make_swin
from tfm.training.batches import Batch, mirror_batch
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.settings import LabelSettings
from tfm.training.tasks.semi_supervised import DECAY, SemiSupervised, Teacher


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


HIDDEN = (0.0, float(UNKNOWN), float(UNKNOWN))


def test_unknown_label_adds_nothing_to_loss_and_metrics():
    network, batch = make_swin(), make_batch(HIDDEN)
    loss, _ = PLAIN.compute_loss(network, batch)
    first = Batch(batch.images[:1], {"labels": batch.targets["labels"][:1]})
    assert loss.item() == pytest.approx(PLAIN.compute_loss(network, first)[0].item(), rel=1e-5)
    metrics = PLAIN.compute_train_metrics(
        torch.tensor([[1.0], [-1.0], [9.0], [-9.0]]), np.array([1, 0, UNKNOWN, UNKNOWN])
    )
    assert metrics == {"train_accuracy": 1.0, "train_auc": 1.0}


def test_only_confident_predictions_become_pseudo_labels():
    network, batch = make_swin(), make_batch(HIDDEN)
    probs = torch.sigmoid(network(batch.images))[:, 0].detach()
    confidence = torch.maximum(probs, 1 - probs)
    limit = float(confidence[1:].sum() / 2)  # one of the two is above it
    task = SemiSupervised(PLAIN, LabelSettings(unlabelled="pseudo", confidence=limit, unlabelled_weight=3.0), None)
    loss, outputs = task.compute_loss(network, batch)
    most_confident = 1 + int(confidence[1:].argmax())
    own = -torch.log(confidence[most_confident])
    assert (loss - PLAIN.compute_loss(network, batch)[0]).item() == pytest.approx(3 * own.item(), rel=1e-4)
    metrics = task.compute_train_metrics(outputs.detach(), np.array([0, 1, UNKNOWN]))
    assert metrics["train_trusted"] == float(most_confident == 2), "share of the images without a label"


def test_teacher_is_the_moving_average_and_predicts_the_mirror_image():
    network, batch = make_swin(), make_batch(HIDDEN)
    task = SemiSupervised(PLAIN, LabelSettings(unlabelled="consistency", unlabelled_weight=3.0), Teacher(network))
    before = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor), alpha=0.05)
    task.start_step(network)
    loss, _ = task.compute_loss(network, batch)
    averaged = copy.deepcopy(before)
    for own, other in zip(averaged.parameters(), network.parameters(), strict=True):
        own.data = DECAY * own.data + (1 - DECAY) * other.data
    targets, probs = (
        torch.sigmoid(logits).detach()[1:, 0]
        for logits in (averaged(mirror_batch(batch).images), network(batch.images))
    )
    exact = 3 * (targets - probs).square().sum().item()
    assert (loss - PLAIN.compute_loss(network, batch)[0]).item() == pytest.approx(exact, rel=1e-3, abs=1e-6)
    loss.backward()
    assert all(tensor.grad is None for tensor in task.teacher.network.parameters()), "the teacher is not trained"
