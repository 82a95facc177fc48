"""Overlays of predicted masks."""

import cv2
import numpy as np

from tfm.analysis.lesions.overlays import Case, choose_cases, draw_overlays


def test_mask_over_the_whole_image_is_outlined_as_a_frame(tmp_path):
    lesion = np.zeros((64, 64), bool)
    lesion[20:30, 20:30] = True
    case = Case("whole image", 0.05, np.zeros((64, 64), np.uint8), lesion, np.ones_like(lesion))
    draw_overlays(tmp_path / "overlays.png", {"best": [case]}, "protocol")
    red = np.abs(cv2.imread(str(tmp_path / "overlays.png")).astype(int) - (0, 69, 255)).max(2) < 40
    vertical = np.flatnonzero(red.sum(0) > red.shape[0] // 3)
    horizontal = np.flatnonzero(red.sum(1) > red.shape[1] // 3)
    assert np.ptp(vertical) > red.shape[1] // 3, "a line at the left and one at the right"
    assert np.ptp(horizontal) > red.shape[0] // 3, "a line at the top and one at the bottom"


def test_cases_are_the_best_median_and_worst_dice():
    assert choose_cases(np.array([0.1, 0.9, 0.5])) == {"best": [1], "median": [2], "worst": [0]}
    assert choose_cases(np.arange(9) / 10) == {"best": [8, 7, 6], "median": [5, 4, 3], "worst": [2, 1, 0]}
