"""The bootstrap over patients: against scipy's without clusters, and for metrics that are sometimes undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from tests.metrics.clustered_images import draw_study
from tfm.core.errors import DataError
from tfm.metrics.bootstrap import bootstrap_interval
from tfm.metrics.classification import compute_auc


def test_interval_of_unclustered_values_equals_that_of_scipy():
    values = np.random.default_rng(1).exponential(size=80)
    ours = bootstrap_interval(np.mean, np.arange(80), values, rounds=9000)
    theirs = bootstrap((values,), np.mean, method="BCa", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.015)


def test_copies_of_images_do_not_narrow_the_interval():
    study = draw_study(np.random.default_rng(1), 60, [0.8])
    columns = [study.patients, study.labels, study.scores[:, 0]]
    once = bootstrap_interval(compute_auc, *columns, rounds=300)
    copied = bootstrap_interval(compute_auc, *(np.tile(column, 4) for column in columns), rounds=300)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert once.low < once.value < once.high


def test_interval_depends_on_the_seed_but_not_on_row_order():
    study = draw_study(np.random.default_rng(2), 60, [0.8])
    columns = [study.patients, study.labels, study.scores[:, 0]]
    here = bootstrap_interval(compute_auc, *columns, seed=1, rounds=300)
    shuffled = np.random.default_rng(0).permutation(study.labels.size)
    assert bootstrap_interval(compute_auc, *(one[shuffled] for one in columns), seed=1, rounds=300) == here
    assert bootstrap_interval(compute_auc, *columns, seed=2, rounds=300) != here


def test_undefined_rounds_are_dropped_and_too_many_leave_no_interval():
    mixed = bootstrap_interval(compute_auc, np.arange(4), np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]))
    assert 0 <= mixed.low <= mixed.high <= 1
    undefined = bootstrap_interval(lambda column: math.nan, np.arange(4), np.arange(4), rounds=10)
    assert math.isnan(undefined.low)
    assert math.isnan(undefined.high)


def test_value_without_variation_has_an_interval_of_width_zero():
    same = bootstrap_interval(np.mean, np.arange(9), np.ones(9), rounds=50)
    assert (same.value, same.low, same.high) == (1, 1, 1)


def test_single_patient_has_no_interval():
    alone = bootstrap_interval(compute_auc, np.zeros(4), np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.5, 0.9]))
    assert alone.value == 1
    assert math.isnan(alone.low)


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="length"):
        bootstrap_interval(compute_auc, np.arange(3), np.array([0, 1]), np.array([0.1, 0.2]))
