"""Lesions are projected onto an image by area, and none of them vanishes."""

from __future__ import annotations

import numpy as np
import pytest

from tfm.imaging.geometry import Geometry
from tfm.imaging.project_lesion_mask import count_subpixel_lesions, measure_visible_share, project_lesions


def test_tiny_calcification_survives_downscaling_and_classes_do_not_mix() -> None:
    lesions = np.zeros((4000, 3000), np.uint8)
    lesions[1000:1003, 700:703] = 3
    lesions[3000:3003, 2700:2703] = 3
    lesions[2000:2600, 900:1500] = 1
    seen = project_lesions(lesions, lesions.shape, Geometry().scale(4000 / 64, 4000 / 64), (64, 64))
    assert set(np.unique(seen)) == {0, 1, 3}
    assert (seen == 1).sum() == pytest.approx(600 * 600 * (64 / 4000) ** 2, rel=0.15)
    places = [[1001 * 64 // 4000, 701 * 64 // 4000], [3001 * 64 // 4000, 2701 * 64 // 4000]]
    assert np.argwhere(seen == 3).tolist() == places
    assert count_subpixel_lesions(lesions, lesions.shape, Geometry().scale(4000 / 64, 4000 / 64)) == 2
    assert count_subpixel_lesions(lesions[::2, ::2], lesions.shape, Geometry().scale(4000 / 64, 4000 / 64)) == 2
    assert count_subpixel_lesions(lesions, lesions.shape, Geometry().scale(3, 3)) == 0


def test_small_lesion_keeps_a_pixel_and_takes_no_other_lesions_last_pixel() -> None:
    at, lesions = Geometry().scale(10, 10), np.zeros((40, 40), np.uint8)
    lesions[2:4, 2:4], lesions[5:7, 5:7] = 3, 6
    lesions[6:8, 8:11], lesions[22:24, 22:24] = 4, 5
    assert set(np.unique(project_lesions(lesions, lesions.shape, at, (4, 4)))) == {0, 4, 5, 6}, "three in two pixels"
    lesions[5:7, 5:7] = 0
    seen = project_lesions(lesions, lesions.shape, at, (4, 4))
    assert (seen[0, 0], seen[0, 1], seen[2, 2]) == (3, 4, 5), (
        "a lesion with two pixels leaves the shared one to the other"
    )
    lesions[:] = 0
    lesions[:10, :20], lesions[3:6, 3:6] = 2, 1
    assert project_lesions(lesions, lesions.shape, at, (4, 4))[0, :2].tolist() == [1, 2], "also to one of a lower class"


def test_mask_of_another_resolution_is_projected_to_the_same_place() -> None:
    lesions = np.zeros((400, 300), np.uint8)
    lesions[100:200, 50:150] = 2
    smaller = np.zeros((350, 262), np.uint8)
    smaller[88:175, 44:131] = 2
    at = Geometry().shift(20, 30).scale(2, 2)
    here, there = (project_lesions(drawn, (400, 300), at, (150, 100)) > 0 for drawn in (lesions, smaller))
    assert (here & there).sum() / (here | there).sum() > 0.95


def test_pixel_belongs_to_a_lesion_that_covers_half_of_it() -> None:
    lesions = np.zeros((40, 40), np.uint8)
    lesions[10:20, 10:20], lesions[20:24, 10:20], lesions[10:20, 20:25] = 1, 1, 1
    seen = project_lesions(lesions, (40, 40), Geometry().scale(10, 10), (4, 4))
    assert np.argwhere(seen).tolist() == [[1, 1], [1, 2]], "0.4 of the one below, 0.5 of the one beside"


def test_lesion_outside_the_image_is_not_projected() -> None:
    lesions = np.zeros((100, 100), np.uint8)
    lesions[:10, :10] = 1
    assert not project_lesions(lesions, (100, 100), Geometry().shift(50, 50), (50, 50)).any()
    assert not project_lesions(np.zeros((100, 100), np.uint8), (100, 100), Geometry(), (50, 50)).any()


@pytest.mark.parametrize("pixel", [1, 3, 7, 62.5])
def test_large_pixels_cut_nothing_off_a_lesion(pixel: float) -> None:
    """Rounding takes up to half of a small lesion's pixels away, but no part of it lies outside the image."""
    lesions = np.zeros((400, 300), np.uint8)
    lesions[101:110, 203:207], lesions[297:330, 99:145] = 3, 1
    at = Geometry().scale(pixel, pixel)
    shape = (round(400 / pixel), round(300 / pixel))
    assert measure_visible_share(lesions, lesions.shape, at, shape) == pytest.approx(1)
    assert measure_visible_share(lesions, lesions.shape, at.mirror(shape[1]), shape) == pytest.approx(1)
    assert measure_visible_share(lesions, (800, 600), at.scale(2, 2), shape) == pytest.approx(1)


def test_the_part_of_a_lesion_outside_the_image_is_cut_off() -> None:
    lesions = np.zeros((400, 300), np.uint8)
    lesions[100:200, 50:150] = 1
    cut = Geometry().crop(slice(120, 400), slice(0, 100)).scale(40, 40)
    for at in (cut, cut.shift(-3, -2), cut.mirror(3)):  # padding shows nothing of what was cut off
        assert measure_visible_share(lesions, lesions.shape, at, (10, 8)) == pytest.approx(0.8 * 0.5)
    assert measure_visible_share(lesions, lesions.shape, Geometry().shift(200, 0), (200, 300)) == 0
    assert measure_visible_share(np.zeros_like(lesions), lesions.shape, Geometry(), (400, 300)) == 0
