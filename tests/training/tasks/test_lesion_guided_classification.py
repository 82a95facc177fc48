"""Lesion-guided classification: the losses of images and of their tiles."""

import numpy as np
import pytest
import torch

from tests.training.results import list_unequal, train_with_stops
from tests.training.small_training import SmallTrainings
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.models.build import build_model
from tfm.models.settings import ModelSettings
from tfm.training.batches import Batch
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.lesion_places import compute_mask_losses
from tfm.training.settings import LesionSettings
from tfm.training.tasks.classification import Classification
from tfm.training.tasks.lesion_guided_classification import LesionGuidedClassification
from tfm.training.tiles import DRAWS

PLAIN = Classification(label_smoothing=0.0, malignant_weight=1.0)
GUIDED = {"architecture": "test_resnet", "lesion_guidance": "stride16", "warmup_epochs": 0.5, "batch_size": 4}
BENIGN, MALIGNANT = encode_mask_class("mass", "BENIGN"), encode_mask_class("mass", "MALIGNANT")
AIMED, ELSEWHERE = 0.0, 0.9  # draws of a tile that shows a lesion, and of one anywhere


def make_network(side=64):
    torch.manual_seed(2)
    return build_model(ModelSettings(architecture="test_resnet", lesion_guidance="stride16"), (side, side)).eval()


def make_batch(*lesions, labels, aim=AIMED) -> Batch:
    """Images of 64 × 64 pixels, each with a lesion of this class at its upper left, or none."""
    masks = torch.zeros(len(lesions), 1, 64, 64, dtype=torch.uint8)
    for mask, lesion in zip(masks, lesions, strict=True):
        mask[0, :10, :10] = lesion
    draws = np.full((len(lesions), DRAWS), 0.99, np.float32)
    draws[:, 0] = aim
    images = torch.randn(len(lesions), 1, 64, 64, generator=torch.Generator().manual_seed(5))
    return Batch(images, {"labels": torch.tensor(labels, dtype=torch.float32), "lesions": masks}, draws)


def test_loss_adds_that_of_the_masks_with_its_weight():
    network, batch = make_network(), make_batch(MALIGNANT, BENIGN, labels=[1, 0])
    task = LesionGuidedClassification(PLAIN, LesionSettings(mask_weight=3.0))
    logits, places = network.locate(batch.images)
    losses, _ = compute_mask_losses(places, batch.targets["lesions"])
    expected = PLAIN.compute_cross_entropy(logits, batch.targets["labels"]) + 3 * losses.sum()
    assert task.compute_loss(network, batch)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_mask_of_an_image_whose_label_is_hidden_is_not_used():
    """It would give away the label."""
    network, batch = make_network(), make_batch(MALIGNANT, labels=[UNKNOWN])
    loss, outputs = LesionGuidedClassification(PLAIN, LesionSettings()).compute_loss(network, batch)
    assert loss.item() == 0
    assert outputs[0, 2] == 0


@pytest.mark.parametrize(
    ("lesion", "label", "aim", "expected"),
    [
        (MALIGNANT, 1, AIMED, 1),
        (MALIGNANT, 1, ELSEWHERE, 0),
        (BENIGN, 1, AIMED, UNKNOWN),
        (0, 1, AIMED, UNKNOWN),
        (BENIGN, 0, AIMED, 0),
        (0, 0, AIMED, 0),
        (MALIGNANT, UNKNOWN, AIMED, UNKNOWN),
    ],
)
def test_tile_is_malignant_only_if_it_shows_a_malignant_lesion(lesion, label, aim, expected):
    task = LesionGuidedClassification(PLAIN, LesionSettings(tile=32))
    _, outputs = task.compute_loss(make_network(32), make_batch(lesion, labels=[label], aim=aim))
    assert outputs[0, -1] == expected


def test_tiles_of_an_image_change_with_its_draws():
    task, network = LesionGuidedClassification(PLAIN, LesionSettings(tile=32, lesion_tiles=0.0)), make_network(32)
    batches = [make_batch(0, labels=[0], aim=aim) for aim in (0.5, 0.5, 0.5)]
    batches[1].draws[:] = 0.1
    logits = [task.compute_loss(network, batch)[1][0, 0].item() for batch in batches]
    assert logits[0] != logits[1]
    assert logits[0] == logits[2]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


@pytest.mark.parametrize("given", [{"ema": 0.9, "dropout": 0.3}, {"tile": 32, "balance": "sampling"}])
def test_training_ends_bit_identical_after_a_stop(trainings, given):
    settings = GUIDED | {"epochs": 2} | given
    undisturbed = train_with_stops(trainings, settings, {})
    assert list_unequal(undisturbed, train_with_stops(trainings, settings, {}, [1, 3])) == []


@pytest.mark.long
def test_half_of_the_labels_is_enough(trainings):
    settings = GUIDED | {"epochs": 1, "label_percent": 50, "unlabelled": "pseudo"}
    undisturbed = train_with_stops(trainings, settings, {})
    assert list_unequal(undisturbed, train_with_stops(trainings, settings, {}, [1])) == []
