"""How small a difference between two AUCs a test set can show, and how many patients would show a given one.

Both hold for one comparison on the same patients at the 5 % level and a power of 80 %: of 100 such studies, 80 would
find the difference. After a training, the uncertainty comes from the scores themselves. Before it, scores are drawn for
the labels and patients of the test set, from two normal distributions for each model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit
from scipy.stats import norm

from tfm.core.randomness import generator_at
from tfm.metrics.differences import Difference
from tfm.metrics.intervals import estimate_auc, find_quantile, measure_uncertainty

POWER = 0.8
_STUDIES = 20  # drawn: the mean error is then known to about 1 %
_STEPS, _PLANNING_STEPS = 30, 5  # until the difference no longer changes


def find_detectable_difference(difference: Difference) -> float:
    """Find the smallest difference from the better model that this test set shows; NaN if the data are too few.

    A worse model has a larger error than the observed ones, by the formula of Hanley and McNeil (Radiology 1982).
    """
    reach = _find_reach(difference.uncertainty.degrees)
    sides = [
        (one.mean, error) for one, error in zip((difference.first, difference.second), difference.errors, strict=True)
    ]
    (better, error), (worse, other) = sorted(sides, reverse=True)
    detectable = reach * difference.uncertainty.error
    if not 0 < worse <= better < 1:  # at a limit, the error is unknown
        return math.nan
    observed = _compute_relative_variance(worse)
    for _ in range(_STEPS):
        before = detectable
        scaled = other * math.sqrt(_compute_relative_variance(max(better - before, 0.01)) / observed)
        variance = error**2 + scaled**2 - 2 * difference.correlation * error * scaled
        detectable = reach * math.sqrt(max(0.0, variance))
        if detectable == before:
            break
    return detectable


def count_patients_needed(difference: Difference, patients: int) -> float:
    """Count the patients of a test set that would show a true difference as large as this one.

    Infinite if even the runs of a model differ too much, or if there is no difference. NaN if the data are too few.
    """
    if not all(0 < one.mean < 1 for one in (difference.first, difference.second)):  # at a limit, the error is unknown
        return math.nan
    of_runs = difference.uncertainty.variance - difference.uncertainty.of_patients
    square = _find_reach(difference.uncertainty.degrees) ** 2
    room = difference.value**2 - square * of_runs
    return patients * square * difference.uncertainty.of_patients / room if room > 0 else math.inf


def _find_reach(degrees: float) -> float:
    """Find how many standard errors a difference must have."""
    return find_quantile(degrees) + float(stdtrit(degrees, POWER))


def _compute_relative_variance(auc: float) -> float:
    return auc * (1 - auc) ** 2 / (2 - auc) + auc**2 * (1 - auc) / (1 + auc)


@dataclass(frozen=True)
class PlannedDifference:
    power: float  # the chance to find it
    patients_needed: float  # in a larger test set of this kind


@dataclass(frozen=True)
class PlannedTest:
    """A test of two models that are not trained yet.

    Attributes:
        labels: (n,) 0 or 1.
        patients: (n,)
        model_correlation: Of the scores that both models give to an image, among images of one label.
        patient_correlation: Of the scores of two images of a patient.
    """

    labels: np.ndarray
    patients: np.ndarray
    model_correlation: float
    patient_correlation: float

    def draw_scores(self, aucs: tuple[float, float], rng: np.random.Generator) -> np.ndarray:  # (n, 2)
        _, patient_of_row = np.unique(self.patients, return_inverse=True)

        def draw_noise(models: int) -> np.ndarray:
            by_patient = rng.normal(size=(patient_of_row.max() + 1, models))[patient_of_row]
            by_image = rng.normal(size=(self.labels.size, models))
            share = self.patient_correlation
            return math.sqrt(share) * by_patient + math.sqrt(1 - share) * by_image

        common, own = draw_noise(1), draw_noise(2)
        # The means of two normal distributions of variance 1 are √2·Φ⁻¹(AUC) apart.
        apart = math.sqrt(2) * norm.ppf(aucs) * self.labels[:, None]
        noise = math.sqrt(self.model_correlation) * common + math.sqrt(1 - self.model_correlation) * own
        scores: np.ndarray = apart + noise
        return scores

    def assess_difference(self, auc: float, difference: float) -> PlannedDifference:
        """Assess this difference from the better model's AUC."""
        error, degrees = self._measure_error(auc, difference)
        return PlannedDifference(
            power=float(stdtr(degrees, difference / error - find_quantile(degrees))),
            patients_needed=np.unique(self.patients).size * (_find_reach(degrees) * error / difference) ** 2,
        )

    def find_detectable_difference(self, auc: float) -> float:
        """Find the smallest difference from the better model's AUC that the test shows; NaN if not even chance."""
        largest = auc - 0.5
        difference = largest / 2
        for _ in range(_PLANNING_STEPS):
            error, degrees = self._measure_error(auc, min(difference, largest))
            difference = _find_reach(degrees) * error
        return difference if difference <= largest else math.nan

    def _measure_error(self, auc: float, difference: float) -> tuple[float, float]:
        """Measure the standard error of the difference in drawn studies, and its degrees of freedom."""
        variances = []
        for study in range(_STUDIES):
            scores = self.draw_scores((auc, auc - difference), generator_at("power", study))
            pair = [estimate_auc(self.labels, model, self.patients) for model in scores.T]
            uncertainty = measure_uncertainty(*pair)
            variances.append(uncertainty.variance)
        return math.sqrt(float(np.mean(variances))), uncertainty.degrees
