"""Figures of masks: by hand on small ones, and the same as those of slow and plain definitions."""

import math

import numpy as np
import pytest

from tfm.metrics.segmentation import (
    Overlap,
    compute_area_error,
    compute_dice,
    compute_iou,
    compute_specificity,
    count_overlap,
)


def masks(*rows: str) -> np.ndarray:
    """Images of one row of pixels."""
    return np.array([[[letter == "x" for letter in row]] for row in rows])


def test_dice_and_iou_of_small_masks_by_hand() -> None:
    found = count_overlap(masks("xx..", "xxxx"), masks(".xx.", "xx.."))
    assert compute_dice(*found.columns) == pytest.approx((2 / 4 + 4 / 6) / 2)
    assert compute_iou(*found.columns) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert compute_area_error(*found.columns) == pytest.approx((0 + 1) / 2)


def test_any_masks_agree_with_the_definition_by_sets() -> None:
    generator = np.random.default_rng(1)
    drawn, true = generator.random((2, 20, 9, 7)) < generator.random((2, 20, 1, 1))
    true[:, 0, 0] = True
    sets = [({*np.flatnonzero(a)}, {*np.flatnonzero(b)}) for a, b in zip(drawn, true, strict=True)]
    found = count_overlap(drawn, true)
    assert compute_dice(*found.columns) == pytest.approx(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in sets]))
    assert compute_iou(*found.columns) == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in sets]))


def test_an_image_without_the_class_says_nothing_of_dice_and_all_of_false_alarms() -> None:
    found = count_overlap(masks("xx..", "x...", "...."), masks("xx..", "....", "...."))
    assert compute_dice(*found.columns) == 1
    assert compute_specificity(*found.columns) == 0.5
    empty = Overlap(*(np.zeros(2, int) for _ in range(3)))
    assert math.isnan(compute_dice(*empty.columns))
    assert math.isnan(compute_specificity(*count_overlap(masks("x"), masks("x")).columns))


def test_who_draws_nothing_has_no_dice_and_misses_the_whole_area() -> None:
    found = count_overlap(masks("....", "...."), masks("xx..", ".x.."))
    assert (compute_dice(*found.columns), compute_iou(*found.columns), compute_area_error(*found.columns)) == (0, 0, 1)
