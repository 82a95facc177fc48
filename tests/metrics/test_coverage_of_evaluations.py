"""The intervals of the metrics that an evaluation shows beside AUC and sensitivity contain the truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from tests.metrics.clustered_images import Study, draw_study
from tfm.metrics.bootstrap import bootstrap_weighted
from tfm.metrics.curves import (
    compute_average_precisions,
    compute_partial_aucs,
    compute_sensitivities_at,
    compute_specificities_at,
    count_calls,
)
from tfm.metrics.intervals import Interval, compute_mean_interval, estimate_ratio
from tfm.metrics.rates import compute_rates

STUDIES = 600  # the standard error of a coverage is then 0.9 percentage points
OF_CURVES = {
    "average precision": compute_average_precisions,
    "partial AUC": compute_partial_aucs,
    "sensitivity at 90 % specificity": compute_sensitivities_at,
    "specificity at 90 % sensitivity": compute_specificities_at,
}
NOT_REACHED = {"accuracy", "balanced_accuracy", "mcc", *OF_CURVES}


def compute_curve_metrics(study: Study, weights: np.ndarray) -> np.ndarray:  # (rounds, metrics)
    calls = count_calls(study.labels, study.scores[:, 0], weights)
    return np.stack([compute(calls) for compute in OF_CURVES.values()], axis=1)


def compute_intervals(study: Study, threshold: float) -> dict[str, Interval]:
    scores = study.scores[:, 0]
    squares = (expit(scores - threshold) - study.labels) ** 2
    resampled = bootstrap_weighted(lambda weights: compute_curve_metrics(study, weights), study.patients)
    return {
        **compute_rates(study.labels == 1, scores > threshold, study.patients),
        "Brier score": compute_mean_interval(estimate_ratio(squares, np.ones(squares.size), study.patients)),
        **dict(zip(OF_CURVES, resampled, strict=True)),
    }


def find_truth(auc: float, threshold: float) -> dict[str, float]:
    """Measure 100,000 patients."""
    study = draw_study(np.random.default_rng(1), 100_000, [auc])
    scores = study.scores[:, 0]
    rates = compute_rates(study.labels == 1, scores > threshold, study.patients)
    return {
        **{name: rate.value for name, rate in rates.items()},
        "Brier score": float(np.mean((expit(scores - threshold) - study.labels) ** 2)),
        **dict(zip(OF_CURVES, compute_curve_metrics(study, np.ones((1, scores.size)))[0], strict=True)),
    }


@pytest.mark.long
@pytest.mark.parametrize("patients", [60, 100, 200])
@pytest.mark.parametrize("auc", [0.6, 0.8, 0.95])
def test_intervals_cover_the_truth(patients, auc):
    threshold = np.sqrt(2) * norm.ppf(auc) - norm.ppf(0.85)  # sensitivity 0.85
    truth, rng, covered = find_truth(auc, threshold), np.random.default_rng(11), Counter()
    for _ in range(STUDIES):
        intervals = compute_intervals(draw_study(rng, patients, [auc]), threshold)
        covered.update(name for name, one in intervals.items() if one.low <= truth[name] <= one.high)
    coverages = {name: covered[name] / STUDIES for name in truth}
    print(f"{patients} patients, AUC {auc}: {coverages}")  # noqa: T201
    missed = {name: coverage for name, coverage in coverages.items() if not 0.93 <= coverage <= 0.97}
    assert not missed.keys() - NOT_REACHED, missed
    if missed:
        pytest.xfail(f"known to cover less than 93 % in some cases, as tests/README.md says: {missed}")
