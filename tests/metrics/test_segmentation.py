"""Dice, IoU and area error: by hand on small make_masks, and against plain definitions."""

import math

import numpy as np
import pytest

from tfm.metrics.segmentation import (
    Overlap,
    compute_area_error,
    compute_dice,
    compute_iou,
    count_overlap,
)


def make_masks(*rows: str) -> np.ndarray:
    """Make images of one row of pixels."""
    return np.array([[[letter == "x" for letter in row]] for row in rows])


def test_dice_and_iou_by_hand() -> None:
    found = count_overlap(make_masks("xx..", "xxxx"), make_masks(".xx.", "xx.."))
    assert compute_dice(*found.columns) == pytest.approx((2 / 4 + 4 / 6) / 2)
    assert compute_iou(*found.columns) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert compute_area_error(*found.columns) == pytest.approx((0 + 1) / 2)


def test_dice_and_iou_equal_their_definition_by_sets() -> None:
    generator = np.random.default_rng(1)
    predicted, true = generator.random((2, 20, 9, 7)) < generator.random((2, 20, 1, 1))
    true[:, 0, 0] = True
    sets = [({*np.flatnonzero(a)}, {*np.flatnonzero(b)}) for a, b in zip(predicted, true, strict=True)]
    found = count_overlap(predicted, true)
    assert compute_dice(*found.columns) == pytest.approx(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in sets]))
    assert compute_iou(*found.columns) == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in sets]))


def test_image_without_the_class_counts_only_for_specificity() -> None:
    found = count_overlap(make_masks("xx..", "x...", "...."), make_masks("xx..", "....", "...."))
    assert compute_dice(*found.columns) == 1
    empty = Overlap(*(np.zeros(2, int) for _ in range(3)))
    assert math.isnan(compute_dice(*empty.columns))


def test_empty_prediction_has_zero_dice_and_full_area_error() -> None:
    found = count_overlap(make_masks("....", "...."), make_masks("xx..", ".x.."))
    assert (compute_dice(*found.columns), compute_iou(*found.columns), compute_area_error(*found.columns)) == (0, 0, 1)
