"""Lesions pixel by pixel: the loss against a slow one, Dice at every threshold, and which masks are refused."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from tests.training.small_dataset import make_small_dataset, rewrite_manifest
from tfm.core.errors import DataError
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import list_fields
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.lesion_classes import CLASS_SETS, encode_mask_class
from tfm.metrics.segmentation import count_overlap
from tfm.models.deeplab import Segmenter
from tfm.training import tiles
from tfm.training.batches import Batch, draw_numbers
from tfm.training.inputs.lesion_masks import (
    check_any_lesion,
    check_enough_known_lesions,
    count_mask_pixels,
    has_known_lesions,
)
from tfm.training.inputs.samples import find_samples
from tfm.training.lesion_maps import (
    ANY,
    THRESHOLDS,
    count_at_thresholds,
    find_best_threshold,
    get_map_names,
    get_overlap_at,
    make_maps,
    make_truth_maps,
)
from tfm.training.settings import SegmentationSettings
from tfm.training.tasks.segmentation import compute_class_weights, compute_dice_loss, make_segmentation

PIXELS = np.array([900, 4, 0, 21, 0, 36, 9])
SIDE = 12


def task_of(**given):
    return make_segmentation(SegmentationSettings(**given), 0.1, PIXELS, images=2)


@pytest.fixture
def lesions():
    """The first image shows a benign and a malignant mass, the second nothing."""
    mask = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    mask[0, :, 2:5, 2:5] = encode_mask_class("mass", "BENIGN")
    mask[0, :, 7:9, 6:10] = encode_mask_class("mass", "MALIGNANT")
    return mask


def plain_loss(logits, classes, task, focus):
    """Of one image, pixel by pixel: (K, H, W), (H, W)."""
    probs = np.exp(logits) / np.exp(logits).sum(0)
    count, losses, weights = len(probs), 0.0, 0.0
    for place, told in np.ndenumerate(classes):
        wanted = np.full(count, 0.1 / count)
        wanted[told] += 0.9
        said = probs[(slice(None), *place)]
        loss = -(wanted * np.log(said)).sum() * (1 - said[told]) ** focus
        losses, weights = losses + task.weights[told] * loss, weights + task.weights[told]
    shown = [number for number in range(1, count) if (classes == number).any()]
    dice = [1 - (2 * probs[n][classes == n].sum() + 1) / (probs[n].sum() + (classes == n).sum() + 1) for n in shown]
    return losses / weights + (np.mean(dice) if dice else 0.0)


@pytest.mark.parametrize(("pixel_loss", "focus"), [("cross_entropy", 0), ("focal", 2)])
@pytest.mark.parametrize("classes", ["malignancy", "lesion"])
def test_the_loss_is_that_of_a_plain_walk_over_all_pixels_summed_over_images(lesions, classes, pixel_loss, focus):
    task = task_of(classes=classes, pixel_loss=pixel_loss)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(2, len(task.classes.names), SIDE, SIDE)))
    total, said = task.loss(lambda _: logits, Batch(torch.zeros(2, 1, SIDE, SIDE), {"lesions": lesions}))
    truth = np.array(task.classes.of_mask)[lesions[:, 0].numpy()]
    expected = sum(plain_loss(logits[n].numpy(), truth[n], task, focus) for n in range(2))
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert said.shape == (2, 0)


# What a GPU adds up in another order each time on the way back.
UNSTEADY = {"UpsampleBilinear2DBackward", "AdaptiveAvgPool2DBackward", "NllLoss2DBackward", "GridSampler2DBackward"}


def operations(tensor) -> set[str]:
    """All that the way back from a tensor goes through, without their numbers."""
    left, met = [tensor.grad_fn], set()
    while left:
        node = left.pop()
        if node is not None and node not in met:
            met.add(node)
            left += [before for before, _ in node.next_functions]
    return {node.name().rstrip("0123456789") for node in met}


@pytest.mark.parametrize("pixel_loss", ["cross_entropy", "focal"])
def test_the_way_back_from_the_loss_is_the_same_each_time_on_a_gpu_too(lesions, pixel_loss):
    task = task_of(pixel_loss=pixel_loss)
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    mask[..., :SIDE, :SIDE] = lesions
    batch = Batch(torch.randn(2, 1, 64, 64), {"lesions": mask})
    total, _ = task.loss(Segmenter("test_resnet", task.classes.names, dropout=0.1), batch)
    assert operations(total) & UNSTEADY == set()
    theirs, _ = task.loss(smp.DeepLabV3Plus("tu-test_resnet", encoder_weights=None, in_channels=1, classes=4), batch)
    assert operations(theirs) & UNSTEADY == {"UpsampleBilinear2DBackward"}


def test_a_lesion_counts_the_same_in_dice_however_small_it_is():
    """Half found, a speck and a large one cost alike, but for the pixel that keeps an empty sum defined."""
    costs = []
    for side in (16, 64):
        inside, found = torch.zeros(2, 128, 128)
        inside[:side, :side], found[: side // 2, :side] = 1, 1
        truth, probs = (torch.stack([1 - part, part])[None] for part in (inside, found))
        costs.append(float(compute_dice_loss(probs, truth)))
    assert costs == pytest.approx([1 - 2 * 0.5 / 1.5] * 2, abs=0.002)


def test_rare_classes_weigh_more_and_absent_ones_nothing_special():
    weights = dict(
        zip(CLASS_SETS["malignancy"].names, compute_class_weights(CLASS_SETS["malignancy"], PIXELS), strict=True)
    )
    assert weights == pytest.approx({"background": 1, "benign": 6, "malignant mass": 5, "malignant calcification": 10})
    without = PIXELS.copy()
    without[-1] = 0
    assert compute_class_weights(CLASS_SETS["malignancy"], without)[-1] == 1
    assert set(task_of(class_weights="none").weights) == {1.0}


def test_rarity_is_that_in_the_squares_that_are_learned_from():
    """Squares of a twelfth of an image: where all are cut for the lesion, it is twelve times less rare there."""
    pixels = np.array([12 * 32 * 32 * 5 - 400, 0, 0, 0, 0, 400, 0])
    given = {"classes": "lesion", "tile": 32}
    weights = {
        share: make_segmentation(SegmentationSettings(lesion_tiles=share, **given), 0.0, pixels, images=5).weights[1]
        for share in (0, 0.75, 1)
    }
    whole = float(np.sqrt(pixels[0] / 400))
    assert weights == pytest.approx({0: whole, 0.75: whole / (12 * (0.75 + 0.25 / 12)) ** 0.5, 1: whole / 12**0.5})
    films = torch.zeros(5, 1, 96, 128, dtype=torch.uint8)
    films[..., 40:48, 60:70] = 5
    drawn = [tiles.cut_tiles(films, films, draw_numbers(5, tiles.DRAWS, 7, epoch), 32, 0.75)[1] for epoch in range(200)]
    shown = torch.stack(drawn) > 0
    assert weights[0.75] == pytest.approx(float(((~shown).sum() / shown.sum()).sqrt()), rel=0.15)


def test_all_lesions_of_an_image_are_in_its_maps(lesions):
    classes = CLASS_SETS["malignancy"]
    truths = make_truth_maps(lesions, classes)
    assert get_map_names(classes) == ("benign", "malignant mass", "malignant calcification", ANY)
    assert truths.sum((2, 3)).tolist() == [[9, 8, 0, 17], [0, 0, 0, 0]]
    probs = torch.rand(2, 4, SIDE, SIDE).softmax(1)
    assert torch.allclose(make_maps(probs)[:, -1], probs[:, 1:].sum(1), atol=1e-6)
    assert get_map_names(CLASS_SETS["lesion"]) == ("lesion",)
    assert make_truth_maps(lesions, CLASS_SETS["lesion"]).shape == (2, 1, SIDE, SIDE)


def test_counts_at_each_threshold_are_those_of_the_masks_drawn_from_there_on(lesions):
    maps = torch.rand(2, 1, SIDE, SIDE)
    truths = make_truth_maps(lesions, CLASS_SETS["lesion"])
    counted = count_at_thresholds(maps, truths).numpy()[:, 0]
    for threshold in THRESHOLDS:
        plain = count_overlap((maps[:, 0] >= threshold).numpy(), truths[:, 0].numpy())
        assert [part.tolist() for part in get_overlap_at(counted, threshold).columns] == [
            part.tolist() for part in plain.columns
        ]


def test_the_best_threshold_is_the_lowest_of_the_best_and_one_half_where_nothing_is_shown():
    truths = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    truths[..., :2] = True
    maps = torch.where(truths, 0.8, 0.33)
    assert find_best_threshold(count_at_thresholds(maps, truths).numpy()[:, 0]) == (pytest.approx(0.35), 1.0)
    threshold, dice = find_best_threshold(count_at_thresholds(maps, torch.zeros_like(truths)).numpy()[:, 0])
    assert threshold == 0.5
    assert np.isnan(dice)


def test_every_class_set_can_be_chosen_and_every_choice_is_one():
    (chosen,) = (field for field in list_fields(SegmentationSettings) if field.name == "classes")
    assert set(chosen.choices) == set(CLASS_SETS)


@pytest.fixture
def pocket(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    make_small_dataset(workspace)
    return workspace


def opened(workspace):
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    cache = Cache.open(workspace.cache_folder("pocket"))
    return dataset, cache, find_samples(dataset, cache, "val")


def test_lesions_are_known_of_images_with_a_mask_and_of_those_without_lesions(pocket):
    def without(manifest):
        first, second = manifest.index[manifest["split"] == "val"][:2]
        manifest.loc[[first, second], "mask"] = ""
        manifest.loc[second, "lesions"] = "0"
        return manifest

    rewrite_manifest(pocket, without)
    dataset, _, rows = opened(pocket)
    assert has_known_lesions(dataset, rows).tolist() == [False] + [True] * (len(rows) - 1)
    assert len(rows.select(has_known_lesions(dataset, rows))) == len(rows) - 1


def test_masks_that_the_manifest_contradicts_are_refused_by_name(pocket):
    """As those are that were drawn when the values meant something else: 2 was a malignant mass, 1 anything benign."""
    dataset, cache, rows = opened(pocket)
    assert (count_mask_pixels(dataset, cache, rows).sum(1) == cache.images[0].size).all()
    arrays = np.load(cache.folder / "lesions.npy")
    arrays[arrays == encode_mask_class("mass", "MALIGNANT")] = 2
    np.save(cache.folder / "lesions.npy", arrays)
    with pytest.raises(DataError, match=r"P_val01_LEFT_CC contains the value 2 \(calc.* without callback\)") as refusal:
        count_mask_pixels(*opened(pocket))
    assert "organize the download again" in refusal.value.hint


def test_a_single_training_image_of_known_lesions_is_refused(pocket):
    _, _, rows = opened(pocket)
    with pytest.raises(DataError, match="only 1 training images have known lesions"):
        check_enough_known_lesions(rows.select([0]), "none")
    check_enough_known_lesions(rows.select([0, 1]), "none")


def test_as_many_of_each_label_are_not_to_be_had_of_one(pocket):
    _, _, rows = opened(pocket)
    benign = rows.select(rows.labels == 0)
    check_enough_known_lesions(benign, "none")
    with pytest.raises(DataError, match="all 8 training images with known lesions are benign"):
        check_enough_known_lesions(benign, "sampling")


def test_a_split_without_a_single_lesion_is_refused():
    with pytest.raises(DataError, match="no validation image has a lesion"):
        check_any_lesion("validation", np.array([[100, 0, 0, 0, 0, 0, 0]]))
