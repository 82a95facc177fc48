"""Curve metrics equal those of scikit-learn, for the images themselves and for resamples of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tests.metrics.clustered_images import draw_study
from tests.metrics.test_classification import make_scores
from tfm.core.errors import DataError
from tfm.metrics.bootstrap import resample_patients
from tfm.metrics.curves import (
    compute_average_precisions,
    compute_partial_aucs,
    compute_precision_recall_band,
    compute_roc_band,
    compute_sensitivities_at,
    compute_specificities_at,
    count_calls,
)

OURS = (
    compute_average_precisions,
    compute_partial_aucs,
    compute_sensitivities_at,
    compute_specificities_at,
)


def recompute(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    rates, sensitivities, _ = roc_curve(labels, scores, drop_intermediate=False)
    return [
        average_precision_score(labels, scores),
        roc_auc_score(labels, scores, max_fpr=0.1),
        max(sensitivities[np.round(rates, 12) <= 0.1]),
        max(1 - rates[np.round(sensitivities, 12) >= 0.9]),
    ]


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("images", [11, 60, 400])
def test_metrics_equal_those_of_scikit_learn(images: int, decimals: int) -> None:
    for seed in range(4):
        labels, scores = make_scores(seed, images, decimals)
        calls = count_calls(labels, scores)
        assert [float(compute(calls)[0]) for compute in OURS] == pytest.approx(recompute(labels, scores), abs=1e-12)


def test_metrics_of_a_resample_are_those_of_its_copied_images() -> None:
    study = draw_study(np.random.default_rng(3), 40, [0.8])
    labels, scores = study.labels, np.round(study.scores[:, 0], 1)
    weights = resample_patients(study.patients, 20)
    resampled = np.stack([compute(count_calls(labels, scores, weights)) for compute in OURS], axis=1)
    for counts, values in zip(weights, resampled, strict=True):
        rows = np.repeat(np.arange(labels.size), counts)
        assert values == pytest.approx(recompute(labels[rows], scores[rows]), abs=1e-12)


def test_constant_scores_are_chance_and_one_class_is_undefined() -> None:
    calls = count_calls(np.array([0, 1, 1, 0]), np.full(4, 0.5))
    assert [float(compute(calls)[0]) for compute in OURS] == pytest.approx([0.5, 0.5, 0, 0])
    for labels in (np.ones(3, int), np.zeros(3, int)):
        single = count_calls(labels, np.array([0.1, 0.2, 0.3]))
        assert all(np.isnan(compute(single)[0]) for compute in OURS)
    with pytest.raises(DataError, match="finite"):
        count_calls(np.array([0, 1]), np.array([0.1, np.nan]))


def test_bands_contain_the_curves() -> None:
    study = draw_study(np.random.default_rng(1), 80, [0.8])
    labels, scores = study.labels, study.scores[:, 0]
    calls = count_calls(labels, scores)
    roc = compute_roc_band(labels, scores, study.patients)
    curve = np.interp(roc.at, calls.false_positive_rates[0], calls.sensitivities[0])
    assert np.mean((roc.low <= curve + 1e-9) & (curve <= roc.high + 1e-9)) > 0.95
    precision = compute_precision_recall_band(labels, scores, study.patients)
    assert (precision.low <= precision.high).all()
    assert precision.high[-1] < 1
