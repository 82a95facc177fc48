"""The brightest blob of a breast, which knows nothing of lesions."""

import cv2
import numpy as np
import pytest

from tfm.analysis.brightest_blob import compute_brightness, grow_blob
from tfm.metrics.saliency import measure_share_outside, score_pointing_game

SIDE = 100


@pytest.fixture
def mammogram():
    """A large bright disc, a smaller one that is brighter, and a white label outside the breast."""
    image = np.full((SIDE, SIDE), 60, np.uint8)
    cv2.circle(image, (30, 30), 14, 150, -1)
    cv2.circle(image, (70, 60), 8, 220, -1)
    breast = np.ones_like(image)
    image[:10, 80:], breast[:12, 70:] = 255, 0
    return image, breast


@pytest.mark.parametrize("area", [5, 60, 180])
def test_it_is_the_brightest_part_and_as_large_as_it_should_be(mammogram, area):
    found = grow_blob(compute_brightness(*mammogram), area)
    assert found.sum() == pytest.approx(area, rel=0.15)
    assert found[60, 70]
    assert cv2.connectedComponents(found.astype(np.uint8))[0] == 2
    assert not found[:12, 70:].any()


def test_it_says_the_same_of_an_image_of_16_bits(mammogram):
    image, breast = mammogram
    np.testing.assert_allclose(
        compute_brightness(image.astype(np.uint16) * 257, breast), compute_brightness(image, breast), atol=1e-5
    )


def test_a_flat_image_has_a_blob_too():
    assert grow_blob(np.ones((10, 10), np.float32), 3).any()


def test_the_brightest_place_is_that_of_a_lesion_and_no_single_speck_nor_a_label_on_the_film(mammogram):
    image, breast = mammogram
    image[80, 20] = 255
    lesion = cv2.circle(np.zeros_like(image), (70, 60), 8, 1, -1) > 0
    assert score_pointing_game(compute_brightness(image, breast), lesion) == 1
    assert measure_share_outside(compute_brightness(image, breast), breast > 0) == 0
