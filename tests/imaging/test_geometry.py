"""Masks looked up through a geometry lie where the image lies, whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest

from tfm.imaging.geometry import Geometry, compute_coverage, project_outline
from tfm.imaging.lesion_mask import count_subpixel_lesions, project_lesions


def test_a_geometry_of_nothing_shows_the_grid_itself() -> None:
    grid = np.zeros((40, 30), np.uint8)
    grid[5:20, 0:12] = 255
    assert np.array_equal(project_outline(grid, Geometry(), Geometry(), grid.shape), grid > 0)
    assert np.array_equal(project_lesions(grid // 255 * 2, (40, 30), Geometry(), (40, 30)), grid // 255 * 2)


def test_cut_and_mirror_are_those_of_the_pixels() -> None:
    grid = (np.random.default_rng(1).random((40, 30)) > 0.5).astype(np.uint8)
    there = Geometry().shift(3, 7).mirror(20)
    wanted = grid[3:33, 7:27][:, ::-1]
    assert np.array_equal(project_outline(grid * np.uint8(255), Geometry(), there, (30, 20)), wanted > 0)
    assert np.array_equal(project_lesions(grid, grid.shape, there, (30, 20)), wanted)
    assert np.array_equal(project_lesions(grid, grid.shape, there.mirror(20), (30, 20)), wanted[:, ::-1])


def test_what_no_film_covers_is_empty() -> None:
    grid = np.full((10, 10), 255, np.uint8)
    there = Geometry().shift(-4, -2)
    for seen in (
        project_outline(grid, Geometry(), there, (20, 20)),
        project_lesions(grid, (10, 10), there, (20, 20)) > 0,
    ):
        assert seen[4:14, 2:12].all()
        assert seen.sum() == 100


@pytest.mark.parametrize("mirrored", [False, True])
def test_shares_are_those_of_the_area(mirrored: bool) -> None:
    """Against the plain count: every cell divided into small ones."""
    grid = np.random.default_rng(2).random((30, 24)) > 0.6
    at = Geometry().shift(-3, 2).scale(7 / 3, 5 / 2)
    at = at.mirror(12) if mirrored else at
    rows, columns, shares = compute_coverage(grid, Geometry(), at, (14, 12))
    seen = np.zeros((14, 12))
    seen[rows, columns] = shares
    fine = np.zeros((14 * 14, 12 * 10))  # a pixel is 7/3 × 5/2 cells: 14 × 10 parts of 1/6 × 1/4 cell
    for y in range(fine.shape[0]):
        for x in range(fine.shape[1]):
            film_y, film_x = at.top + (y + 0.5) / 14 * at.down, at.left + (x + 0.5) / 10 * at.right
            if 0 <= film_y < 30 and 0 <= film_x < 24:
                fine[y, x] = grid[int(film_y), int(film_x)]
    np.testing.assert_allclose(seen, fine.reshape(14, 14, 12, 10).mean(axis=(1, 3)), atol=1e-5)


def test_a_speck_of_calcification_survives_the_smallest_size_and_classes_never_mix() -> None:
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


def test_a_small_lesion_keeps_a_pixel_beside_one_of_a_higher_class_and_takes_no_others_last_one() -> None:
    at, lesions = Geometry().scale(10, 10), np.zeros((40, 40), np.uint8)
    lesions[2:4, 2:4], lesions[5:7, 5:7] = 3, 6
    lesions[6:8, 8:11], lesions[22:24, 22:24] = 4, 5
    assert set(np.unique(project_lesions(lesions, lesions.shape, at, (4, 4)))) == {0, 4, 5, 6}, "three in two pixels"
    lesions[5:7, 5:7] = 0
    seen = project_lesions(lesions, lesions.shape, at, (4, 4))
    assert (seen[0, 0], seen[0, 1], seen[2, 2]) == (3, 4, 5), "who can, gives way, though most of it lies in the first"
    lesions[:] = 0
    lesions[:10, :20], lesions[3:6, 3:6] = 2, 1
    assert project_lesions(lesions, lesions.shape, at, (4, 4))[0, :2].tolist() == [1, 2], (
        "of a lower class all the same"
    )


def test_a_mask_drawn_at_another_size_lies_where_its_film_has_it() -> None:
    lesions = np.zeros((400, 300), np.uint8)
    lesions[100:200, 50:150] = 2
    smaller = np.zeros((350, 262), np.uint8)
    smaller[88:175, 44:131] = 2
    at = Geometry().shift(20, 30).scale(2, 2)
    here, there = (project_lesions(drawn, (400, 300), at, (150, 100)) > 0 for drawn in (lesions, smaller))
    assert (here & there).sum() / (here | there).sum() > 0.95


def test_a_pixel_is_a_lesions_where_half_of_it_is() -> None:
    lesions = np.zeros((40, 40), np.uint8)
    lesions[10:20, 10:20], lesions[20:24, 10:20], lesions[10:20, 20:25] = 1, 1, 1
    seen = project_lesions(lesions, (40, 40), Geometry().scale(10, 10), (4, 4))
    assert np.argwhere(seen).tolist() == [[1, 1], [1, 2]], "0.4 of the one below, 0.5 of the one beside"


def test_what_was_cut_off_does_not_come_back_in_the_padding() -> None:
    grid = np.full((40, 30), 255, np.uint8)
    at = Geometry().crop(slice(10, 30), slice(5, 25)).mirror(20).shift(-8, -6)
    for seen in (project_outline(grid, Geometry(), at, (36, 32)), project_lesions(grid, (40, 30), at, (36, 32)) > 0):
        assert seen[8:28, 6:26].all()
        assert seen.sum() == 20 * 20


def test_a_lesion_outside_the_image_is_not_in_it() -> None:
    lesions = np.zeros((100, 100), np.uint8)
    lesions[:10, :10] = 1
    assert not project_lesions(lesions, (100, 100), Geometry().shift(50, 50), (50, 50)).any()
    assert not project_lesions(np.zeros((100, 100), np.uint8), (100, 100), Geometry(), (50, 50)).any()
