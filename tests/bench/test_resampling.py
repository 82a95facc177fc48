"""Resampling the average precisions of ten models, beside copying the rows of each resample for scikit-learn."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.bench.rows import report
from tests.metrics.clustered_images import draw_study
from tfm.metrics.bootstrap import resample_patients
from tfm.metrics.curves import compute_average_precisions, count_calls

ROUNDS, MODELS, PATIENTS = 2000, 10, 280  # 280 patients have about 700 images


@pytest.mark.long
@pytest.mark.alone
def test_ten_models_are_resampled_within_a_second() -> None:
    study = draw_study(np.random.default_rng(1), PATIENTS, [0.75] * MODELS)

    def resample() -> list[np.ndarray]:
        weights = resample_patients(study.patients, ROUNDS)
        return [compute_average_precisions(count_calls(study.labels, scores, weights)) for scores in study.scores.T]

    begun = time.process_time()
    precisions = resample()
    seconds = time.process_time() - begun
    few = 20
    begun = time.process_time()
    for number, counts in enumerate(resample_patients(study.patients, few)):
        rows = np.repeat(np.arange(study.labels.size), counts)
        assert len(rows) > 0
        theirs = [average_precision_score(study.labels[rows], scores[rows]) for scores in study.scores.T]
        assert theirs == pytest.approx([own[number] for own in precisions], abs=1e-12)
    usual = (time.process_time() - begun) * ROUNDS / few
    report("2,000 resamples of the average precisions of 10 models", seconds, usual=usual, at_most=1)
