"""Scores of saliency maps whose scores are known."""

import math

import numpy as np
import pytest

from tfm.metrics.saliency import make_centre_map, measure_share_inside, measure_share_outside, score_pointing_game


def make_mask(down, right, shape=(8, 10)):
    mask = np.zeros(shape, bool)
    mask[down, right] = True
    return mask


BREAST = make_mask(slice(None), slice(0, 5))
LESION = make_mask(slice(2, 4), slice(1, 3))


def test_even_map_scores_by_area():
    even = np.full(BREAST.shape, 0.3)
    assert measure_share_outside(even, BREAST) == pytest.approx(0.5)
    assert measure_share_inside(even, LESION) == pytest.approx(4 / 80)


def test_maps_of_the_lesion_alone_and_the_background_alone():
    assert (measure_share_outside(LESION * 2.0, BREAST), measure_share_inside(LESION * 2.0, LESION)) == (0, 1)
    away = (~BREAST).astype(float)
    assert (measure_share_outside(away, BREAST), measure_share_inside(away, LESION)) == (1, 0)


def test_scores_do_not_depend_on_scale():
    heat = np.random.default_rng(0).random(BREAST.shape).astype(np.float32)
    for score, mask in ((measure_share_outside, BREAST), (measure_share_inside, LESION), (score_pointing_game, LESION)):
        assert score(heat * 7, mask) == pytest.approx(score(heat, mask))


def test_pointing_game_hits_misses_and_counts_ties_in_part():
    heat = np.zeros(BREAST.shape)
    heat[2, 2] = 5
    assert score_pointing_game(heat, LESION) == 1
    heat[7, 9] = 6
    assert score_pointing_game(heat, LESION) == 0
    heat[2, 2] = 6
    assert score_pointing_game(heat, LESION) == 0.5


def test_undefined_scores_are_nan():
    nothing = np.zeros(BREAST.shape)
    assert math.isnan(measure_share_outside(nothing, BREAST))
    assert math.isnan(measure_share_inside(nothing, LESION))
    assert math.isnan(score_pointing_game(np.ones(BREAST.shape), LESION)), "a constant map points nowhere"
    no_lesion = nothing > 0
    assert math.isnan(measure_share_inside(np.ones(BREAST.shape), no_lesion))
    assert math.isnan(score_pointing_game(make_mask(0, 0) * 1.0, no_lesion))


def test_centre_map_is_highest_in_the_centre_and_zero_in_the_corners():
    heat = make_centre_map((9, 11))
    assert score_pointing_game(heat, make_mask(4, 5, (9, 11))) == 1
    assert heat[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(0)
    assert np.array_equal(heat, heat[::-1])
    assert np.array_equal(heat, heat[:, ::-1])
