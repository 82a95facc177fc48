"""Scores of a map of where a network looks, on maps whose scores are known."""

import math

import numpy as np
import pytest

from tfm.metrics.saliency import centre, energy_in, points_at, share_outside


def place(down, right, shape=(8, 10)):
    mask = np.zeros(shape, bool)
    mask[down, right] = True
    return mask


BREAST = place(slice(None), slice(0, 5))
LESION = place(slice(2, 4), slice(1, 3))


def test_an_even_look_is_outside_the_breast_and_in_the_lesion_by_their_areas():
    even = np.full(BREAST.shape, 0.3)
    assert share_outside(even, BREAST) == pytest.approx(0.5)
    assert energy_in(even, LESION) == pytest.approx(4 / 80)


def test_a_look_at_the_lesion_alone_and_one_at_the_background_alone():
    assert (share_outside(LESION * 2.0, BREAST), energy_in(LESION * 2.0, LESION)) == (0, 1)
    away = (~BREAST).astype(float)
    assert (share_outside(away, BREAST), energy_in(away, LESION)) == (1, 0)


def test_scores_do_not_hang_on_how_strong_a_map_is():
    heat = np.random.default_rng(0).random(BREAST.shape).astype(np.float32)
    for score, mask in ((share_outside, BREAST), (energy_in, LESION), (points_at, LESION)):
        assert score(heat * 7, mask) == pytest.approx(score(heat, mask))


def test_the_highest_place_hits_or_misses_and_a_tie_counts_in_part():
    heat = np.zeros(BREAST.shape)
    heat[2, 2] = 5
    assert points_at(heat, LESION) == 1
    heat[7, 9] = 6
    assert points_at(heat, LESION) == 0
    heat[2, 2] = 6
    assert points_at(heat, LESION) == 0.5


def test_what_is_not_defined_is_no_number():
    nothing = np.zeros(BREAST.shape)
    assert math.isnan(share_outside(nothing, BREAST))
    assert math.isnan(energy_in(nothing, LESION))
    assert math.isnan(points_at(np.ones(BREAST.shape), LESION)), "a map that points nowhere"
    no_lesion = nothing > 0
    assert math.isnan(energy_in(np.ones(BREAST.shape), no_lesion))
    assert math.isnan(points_at(place(0, 0) * 1.0, no_lesion))


def test_the_centre_is_highest_in_the_middle_and_nothing_in_the_corners():
    heat = centre((9, 11))
    assert points_at(heat, place(4, 5, (9, 11))) == 1
    assert heat[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(0)
    assert np.array_equal(heat, heat[::-1])
    assert np.array_equal(heat, heat[:, ::-1])
