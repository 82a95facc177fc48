"""Probability maps of lesions, and their overlap with the true masks at every threshold."""

import numpy as np
import pytest
import torch

from tfm.data.dataset.lesion_classes import CLASS_SETS, encode_mask_class
from tfm.metrics.segmentation import count_overlap
from tfm.training.lesion_probability_maps import (
    ANY,
    THRESHOLDS,
    count_at_thresholds,
    find_best_threshold,
    get_map_names,
    get_overlap_at,
    make_maps,
    make_truth_maps,
)

SIDE = 12


@pytest.fixture
def lesions():
    """The first image shows a benign and a malignant mass, the second one shows none."""
    mask = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    mask[0, :, 2:5, 2:5] = encode_mask_class("mass", "BENIGN")
    mask[0, :, 7:9, 6:10] = encode_mask_class("mass", "MALIGNANT")
    return mask


def test_maps_contain_all_lesions_of_an_image(lesions):
    classes = CLASS_SETS["malignancy"]
    truths = make_truth_maps(lesions, classes)
    assert get_map_names(classes) == ("benign", "malignant mass", "malignant calcification", ANY)
    assert truths.sum((2, 3)).tolist() == [[9, 8, 0, 17], [0, 0, 0, 0]]
    probs = torch.rand(2, 4, SIDE, SIDE).softmax(1)
    assert torch.allclose(make_maps(probs)[:, -1], probs[:, 1:].sum(1), atol=1e-6)
    assert get_map_names(CLASS_SETS["lesion"]) == ("lesion",)
    assert make_truth_maps(lesions, CLASS_SETS["lesion"]).shape == (2, 1, SIDE, SIDE)


def test_counts_equal_those_of_the_thresholded_masks(lesions):
    maps = torch.rand(2, 1, SIDE, SIDE)
    truths = make_truth_maps(lesions, CLASS_SETS["lesion"])
    counts = count_at_thresholds(maps, truths).numpy()[:, 0]
    for threshold in THRESHOLDS:
        plain = count_overlap((maps[:, 0] >= threshold).numpy(), truths[:, 0].numpy())
        assert [part.tolist() for part in get_overlap_at(counts, threshold).columns] == [
            part.tolist() for part in plain.columns
        ]


def test_best_threshold_is_the_lowest_of_equals_and_one_half_without_lesions():
    truths = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    truths[..., :2] = True
    maps = torch.where(truths, 0.8, 0.33)
    assert find_best_threshold(count_at_thresholds(maps, truths).numpy()[:, 0]) == (pytest.approx(0.35), 1.0)
    threshold, dice = find_best_threshold(count_at_thresholds(maps, torch.zeros_like(truths)).numpy()[:, 0])
    assert threshold == 0.5
    assert np.isnan(dice)
