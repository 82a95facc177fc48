"""Outlines projected through a geometry match the image, whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest

from tfm.imaging.geometry import Geometry, compute_coverage, project_outline
from tfm.imaging.project_lesion_mask import project_lesions


def test_default_geometry_shows_the_grid_itself() -> None:
    grid = np.zeros((40, 30), np.uint8)
    grid[5:20, 0:12] = 255
    assert np.array_equal(project_outline(grid, Geometry(), Geometry(), grid.shape), grid > 0)
    assert np.array_equal(project_lesions(grid // 255 * 2, (40, 30), Geometry(), (40, 30)), grid // 255 * 2)


def test_shift_and_mirror_match_slicing_of_the_pixels() -> None:
    grid = (np.random.default_rng(1).random((40, 30)) > 0.5).astype(np.uint8)
    there = Geometry().shift(3, 7).mirror(20)
    wanted = grid[3:33, 7:27][:, ::-1]
    assert np.array_equal(project_outline(grid * np.uint8(255), Geometry(), there, (30, 20)), wanted > 0)
    assert np.array_equal(project_lesions(grid, grid.shape, there, (30, 20)), wanted)
    assert np.array_equal(project_lesions(grid, grid.shape, there.mirror(20), (30, 20)), wanted[:, ::-1])


def test_padding_is_empty() -> None:
    grid = np.full((10, 10), 255, np.uint8)
    there = Geometry().shift(-4, -2)
    for seen in (
        project_outline(grid, Geometry(), there, (20, 20)),
        project_lesions(grid, (10, 10), there, (20, 20)) > 0,
    ):
        assert seen[4:14, 2:12].all()
        assert seen.sum() == 100


@pytest.mark.parametrize("mirrored", [False, True])
def test_coverage_equals_a_count_over_small_cells(mirrored: bool) -> None:
    """Compare with a plain count in which every cell is divided into small ones."""
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


def test_cropped_area_does_not_reappear_in_the_padding() -> None:
    grid = np.full((40, 30), 255, np.uint8)
    at = Geometry().crop(slice(10, 30), slice(5, 25)).mirror(20).shift(-8, -6)
    for seen in (project_outline(grid, Geometry(), at, (36, 32)), project_lesions(grid, (40, 30), at, (36, 32)) > 0):
        assert seen[8:28, 6:26].all()
        assert seen.sum() == 20 * 20
