"""The brightest blob: a baseline that knows nothing about lesions."""

import cv2
import numpy as np
import pytest

from tfm.analysis.brightest_blob import compute_brightness, grow_blob
from tfm.metrics.saliency import measure_share_outside, score_pointing_game

SIDE = 100


@pytest.fixture
def mammogram():
    """A large bright disc, a smaller and brighter one, and a white label outside the breast."""
    image = np.full((SIDE, SIDE), 60, np.uint8)
    cv2.circle(image, (30, 30), 14, 150, -1)
    cv2.circle(image, (70, 60), 8, 220, -1)
    breast = np.ones_like(image)
    image[:10, 80:], breast[:12, 70:] = 255, 0
    return image, breast


@pytest.mark.parametrize("area", [5, 60, 180])
def test_blob_covers_the_brightest_part_with_the_requested_area(mammogram, area):
    blob = grow_blob(compute_brightness(*mammogram), area)
    assert blob.sum() == pytest.approx(area, rel=0.15)
    assert blob[60, 70]
    assert cv2.connectedComponents(blob.astype(np.uint8))[0] == 2
    assert not blob[:12, 70:].any()


def test_brightness_is_equal_for_8_and_16_bits(mammogram):
    image, breast = mammogram
    np.testing.assert_allclose(
        compute_brightness(image.astype(np.uint16) * 257, breast), compute_brightness(image, breast), atol=1e-5
    )


def test_uniform_image_has_a_blob():
    assert grow_blob(np.ones((10, 10), np.float32), 3).any()


def test_brightest_place_is_neither_a_speck_nor_a_label(mammogram):
    image, breast = mammogram
    image[80, 20] = 255
    lesion = cv2.circle(np.zeros_like(image), (70, 60), 8, 1, -1) > 0
    brightness = compute_brightness(image, breast)
    assert score_pointing_game(brightness, lesion) == 1
    assert measure_share_outside(brightness, breast > 0) == 0
