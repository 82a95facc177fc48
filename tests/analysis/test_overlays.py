"""Pictures of what a segmenter drew."""

import cv2
import numpy as np

from tfm.analysis.lesions.overlays import Case, draw_overlays


def test_what_is_drawn_all_over_an_image_is_outlined_by_a_frame(tmp_path):
    lesion = np.zeros((64, 64), bool)
    lesion[20:30, 20:30] = True
    case = Case("all of it", 0.05, np.zeros((64, 64), np.uint8), lesion, np.ones_like(lesion))
    draw_overlays(tmp_path / "overlays.png", {"best": [case]}, "protocol")
    red = np.abs(cv2.imread(str(tmp_path / "overlays.png")).astype(int) - (0, 69, 255)).max(2) < 40
    upright = np.flatnonzero(red.sum(0) > red.shape[0] // 3)
    level = np.flatnonzero(red.sum(1) > red.shape[1] // 3)
    assert np.ptp(upright) > red.shape[1] // 3, "a line at its left, and one at its right"
    assert np.ptp(level) > red.shape[0] // 3, "a line above, and one below"
