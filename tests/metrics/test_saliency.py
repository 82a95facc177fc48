"""Scores of a map of where a network looks, on maps whose scores are known."""

import math

import numpy as np
import pytest

from tfm.metrics.saliency import make_centre_map, measure_share_inside, measure_share_outside, score_pointing_game


def place(down, right, shape=(8, 10)):
    mask = np.zeros(shape, bool)
    mask[down, right] = True
    return mask


BREAST = place(slice(None), slice(0, 5))
LESION = place(slice(2, 4), slice(1, 3))


def test_an_even_look_is_outside_the_breast_and_in_the_lesion_by_their_areas():
    even = np.full(BREAST.shape, 0.3)
    assert measure_share_outside(even, BREAST) == pytest.approx(0.5)
    assert measure_share_inside(even, LESION) == pytest.approx(4 / 80)


def test_a_look_at_the_lesion_alone_and_one_at_the_background_alone():
    assert (measure_share_outside(LESION * 2.0, BREAST), measure_share_inside(LESION * 2.0, LESION)) == (0, 1)
    away = (~BREAST).astype(float)
    assert (measure_share_outside(away, BREAST), measure_share_inside(away, LESION)) == (1, 0)


def test_scores_do_not_hang_on_how_strong_a_map_is():
    heat = np.random.default_rng(0).random(BREAST.shape).astype(np.float32)
    for score, mask in ((measure_share_outside, BREAST), (measure_share_inside, LESION), (score_pointing_game, LESION)):
        assert score(heat * 7, mask) == pytest.approx(score(heat, mask))


def test_the_highest_place_hits_or_misses_and_a_tie_counts_in_part():
    heat = np.zeros(BREAST.shape)
    heat[2, 2] = 5
    assert score_pointing_game(heat, LESION) == 1
    heat[7, 9] = 6
    assert score_pointing_game(heat, LESION) == 0
    heat[2, 2] = 6
    assert score_pointing_game(heat, LESION) == 0.5


def test_what_is_not_defined_is_no_number():
    nothing = np.zeros(BREAST.shape)
    assert math.isnan(measure_share_outside(nothing, BREAST))
    assert math.isnan(measure_share_inside(nothing, LESION))
    assert math.isnan(score_pointing_game(np.ones(BREAST.shape), LESION)), "a map that points nowhere"
    no_lesion = nothing > 0
    assert math.isnan(measure_share_inside(np.ones(BREAST.shape), no_lesion))
    assert math.isnan(score_pointing_game(place(0, 0) * 1.0, no_lesion))


def test_the_centre_is_highest_in_the_middle_and_nothing_in_the_corners():
    heat = make_centre_map((9, 11))
    assert score_pointing_game(heat, place(4, 5, (9, 11))) == 1
    assert heat[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(0)
    assert np.array_equal(heat, heat[::-1])
    assert np.array_equal(heat, heat[:, ::-1])
