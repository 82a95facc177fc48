"""Lesion segmentation: the loss against a slow one, and the weights of its classes."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from tfm.core.settings.fields import list_fields
from tfm.data.dataset.lesion_classes import CLASS_SETS, encode_mask_class
from tfm.models.deeplab import Segmenter
from tfm.training import tiles
from tfm.training.batches import Batch, draw_numbers
from tfm.training.settings import SegmentationSettings
from tfm.training.tasks.segmentation import compute_class_weights, compute_dice_loss, make_segmentation

PIXELS = np.array([900, 4, 0, 21, 0, 36, 9])
SIDE = 12


def make_task(**given):
    return make_segmentation(SegmentationSettings(**given), 0.1, PIXELS, images=2)


@pytest.fixture
def lesions():
    """The first image shows a benign and a malignant mass, the second one shows none."""
    mask = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    mask[0, :, 2:5, 2:5] = encode_mask_class("mass", "BENIGN")
    mask[0, :, 7:9, 6:10] = encode_mask_class("mass", "MALIGNANT")
    return mask


def compute_slowly(logits, classes, task, exponent):
    """The loss of one image, pixel by pixel: (K, H, W), (H, W)."""
    probs = np.exp(logits) / np.exp(logits).sum(0)
    count, losses, weights = len(probs), 0.0, 0.0
    for place, number in np.ndenumerate(classes):
        wanted = np.full(count, 0.1 / count)
        wanted[number] += 0.9
        at = probs[(slice(None), *place)]
        loss = -(wanted * np.log(at)).sum() * (1 - at[number]) ** exponent
        losses, weights = losses + task.weights[number] * loss, weights + task.weights[number]
    shown = [number for number in range(1, count) if (classes == number).any()]
    dice = [1 - (2 * probs[n][classes == n].sum() + 1) / (probs[n].sum() + (classes == n).sum() + 1) for n in shown]
    return losses / weights + (np.mean(dice) if dice else 0.0)


@pytest.mark.parametrize(("pixel_loss", "exponent"), [("cross_entropy", 0), ("focal", 2)])
@pytest.mark.parametrize("classes", ["malignancy", "lesion"])
def test_loss_equals_a_slow_loop_over_all_pixels(lesions, classes, pixel_loss, exponent):
    task = make_task(classes=classes, pixel_loss=pixel_loss)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(2, len(task.classes.names), SIDE, SIDE)))
    total, outputs = task.compute_loss(lambda _: logits, Batch(torch.zeros(2, 1, SIDE, SIDE), {"lesions": lesions}))
    truth = np.array(task.classes.of_mask)[lesions[:, 0].numpy()]
    expected = sum(compute_slowly(logits[n].numpy(), truth[n], task, exponent) for n in range(2))
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert outputs.shape == (2, 0)


# A GPU adds up their gradients in another order each time.
NONDETERMINISTIC = {
    "UpsampleBilinear2DBackward",
    "AdaptiveAvgPool2DBackward",
    "NllLoss2DBackward",
    "GridSampler2DBackward",
}


def list_operations(tensor) -> set[str]:
    """List the names of the operations of a tensor's gradient, without their numbers."""
    nodes, visited = [tensor.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in visited:
            visited.add(node)
            nodes += [before for before, _ in node.next_functions]
    return {node.name().rstrip("0123456789") for node in visited}


@pytest.mark.parametrize("pixel_loss", ["cross_entropy", "focal"])
def test_gradient_uses_only_operations_that_are_deterministic_on_a_gpu(lesions, pixel_loss):
    task = make_task(pixel_loss=pixel_loss)
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    mask[..., :SIDE, :SIDE] = lesions
    batch = Batch(torch.randn(2, 1, 64, 64), {"lesions": mask})
    total, _ = task.compute_loss(Segmenter("test_resnet", task.classes.names, dropout=0.1), batch)
    assert list_operations(total) & NONDETERMINISTIC == set()
    theirs, _ = task.compute_loss(
        smp.DeepLabV3Plus("tu-test_resnet", encoder_weights=None, in_channels=1, classes=4), batch
    )
    assert list_operations(theirs) & NONDETERMINISTIC == {"UpsampleBilinear2DBackward"}


def test_small_and_large_lesions_count_the_same_in_dice():
    """Half of a small and half of a large one cost the same, except for the constant pixel in the formula."""
    costs = []
    for side in (16, 64):
        inside, found = torch.zeros(2, 128, 128)
        inside[:side, :side], found[: side // 2, :side] = 1, 1
        truth, probs = (torch.stack([1 - part, part])[None] for part in (inside, found))
        costs.append(float(compute_dice_loss(probs, truth)))
    assert costs == pytest.approx([1 - 2 * 0.5 / 1.5] * 2, abs=0.002)


def test_rare_classes_weigh_more_and_absent_ones_weigh_1():
    weights = dict(
        zip(CLASS_SETS["malignancy"].names, compute_class_weights(CLASS_SETS["malignancy"], PIXELS), strict=True)
    )
    assert weights == pytest.approx({"background": 1, "benign": 6, "malignant mass": 5, "malignant calcification": 10})
    without = PIXELS.copy()
    without[-1] = 0
    assert compute_class_weights(CLASS_SETS["malignancy"], without)[-1] == 1
    assert set(make_task(class_weights="none").weights) == {1.0}


def test_class_weights_use_the_rarity_in_tiles():
    """Tiles are a twelfth of an image: if all of them show the lesion, it is twelve times less rare there."""
    pixels = np.array([12 * 32 * 32 * 5 - 400, 0, 0, 0, 0, 400, 0])
    given = {"classes": "lesion", "tile": 32}
    weights = {
        share: make_segmentation(SegmentationSettings(lesion_tiles=share, **given), 0.0, pixels, images=5).weights[1]
        for share in (0, 0.75, 1)
    }
    whole = float(np.sqrt(pixels[0] / 400))
    assert weights == pytest.approx({0: whole, 0.75: whole / (12 * (0.75 + 0.25 / 12)) ** 0.5, 1: whole / 12**0.5})
    images = torch.zeros(5, 1, 96, 128, dtype=torch.uint8)
    images[..., 40:48, 60:70] = 5
    tiles_of_epochs = [
        tiles.cut_tiles(images, images, draw_numbers(5, tiles.DRAWS, 7, epoch), 32, 0.75)[1] for epoch in range(200)
    ]
    shown = torch.stack(tiles_of_epochs) > 0
    assert weights[0.75] == pytest.approx(float(((~shown).sum() / shown.sum()).sqrt()), rel=0.15)


def test_choices_of_classes_are_the_class_sets():
    (chosen,) = (field for field in list_fields(SegmentationSettings) if field.name == "classes")
    assert set(chosen.choices) == set(CLASS_SETS)
