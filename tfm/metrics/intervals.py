"""Confidence intervals clustered by patient, from how much each patient influences a metric.
A metric may be measured in several runs, such as seeds: their interval covers the choice of patients and of runs.

The standard error is the infinitesimal jackknife over patients (for the AUC: Obuchowski, Biometrics 1997), with
Student's t for the number of patients. Intervals of a mean are computed on the logit scale and those of a rate by
Wilson's formula, because symmetric and percentile intervals of values near 1 are too high. Their coverage is simulated
in `tests/metrics/test_coverage.py`. Differences are in `differences`. For metrics without such influences, see
`bootstrap`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit
from scipy.stats import rankdata

from tfm.core.errors import DataError
from tfm.metrics.classification import compute_auc

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # of sums over patients


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; low and high are NaN if the data are too few."""

    value: float
    low: float
    high: float

    def flatten(self, name: str) -> dict[str, float | None]:
        """Return {name, name_low, name_high}, ready for JSON: None instead of NaN."""
        values = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: float(value) if math.isfinite(value) else None for key, value in values.items()}


@dataclass(frozen=True)
class Estimate:
    """A metric in one or several runs on the same images."""

    values: np.ndarray  # (runs,)
    influences: np.ndarray  # (patients, runs), the sum over patients is 0
    trials: int  # number of independent patients, or pairs of patients, that the metric rests on

    # Computed once: a comparison of many models asks for them again for each pair.
    @functools.cached_property
    def mean(self) -> float:
        return float(self.values.mean())

    @functools.cached_property
    def variances(self) -> tuple[float, float, float]:
        """The variance of one run over patients, the part of it that all runs share, and the variance between runs."""
        runs = self.values.size
        covariances = compute_covariances(self, self)
        alone = float(np.trace(covariances)) / runs
        # The errors of a single run cannot be separated, so all of them count as shared.
        common = (float(covariances.sum()) / runs - alone) / (runs - 1) if runs > 1 else alone
        return alone, common, float(self.values.var(ddof=1)) if runs > 1 else 0.0

    @functools.cached_property
    def uncertainty(self) -> Uncertainty:
        return measure_uncertainty(self)


def estimate_auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Estimate:
    """Estimate the AUC of each run.

    The AUC is a probability over pairs, so its trials are disjoint pairs of patients: a malignant image of one and a
    benign image of the other.

    Args:
        labels: (n,)
        scores: (n,) or (n, runs)
        patients: (n,)
    """
    runs = scores.reshape(len(labels), -1).T
    values = np.array([compute_auc(labels, run) for run in runs])
    truth = labels.astype(bool)
    shares = np.empty(runs.shape)  # of the pairs of an image that are in the right order
    for run, share in zip(runs, shares, strict=True):
        ranks = rankdata(run)
        share[truth] = (ranks[truth] - rankdata(run[truth])) / (~truth).sum()
        share[~truth] = 1 - (ranks[~truth] - rankdata(run[~truth])) / truth.sum()
    influences = (shares.T - values) / np.where(truth, truth.sum(), (~truth).sum())[:, None]
    malignant, benign = (np.unique(patients[truth == label]).size for label in (True, False))
    trials = min(malignant, benign, np.unique(patients).size // 2)
    return Estimate(values, sum_by_patient(influences, patients), trials)


def estimate_ratio(parts: np.ndarray, wholes: np.ndarray, patients: np.ndarray) -> Estimate:
    """Estimate the sum of the parts as a share of the sum of the wholes, for each run. With wholes of 1, it is a mean.

    Args:
        parts: (n,) or (n, runs)
        wholes: (n,)
        patients: (n,)
    """
    parts = parts.reshape(len(wholes), -1)
    values = parts.sum(axis=0) / wholes.sum()
    influences = (parts - values * wholes[:, None]) / wholes.sum()
    return Estimate(values, sum_by_patient(influences, patients), np.unique(patients[wholes > 0]).size)


def compute_mean_interval(estimate: Estimate) -> Interval:
    """Compute the interval of the runs' mean on the logit scale. It is unknown if the patients do not differ: a width
    of 0 would claim certainty."""
    uncertainty = estimate.uncertainty
    value, half = estimate.mean, find_quantile(uncertainty.degrees) * uncertainty.error
    if not half > _ROUNDING:
        return Interval(value, math.nan, math.nan)
    half /= value * (1 - value)
    return Interval(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)))


def compute_auc_interval(estimate: Estimate) -> Interval:
    """Compute the interval of the runs' mean AUC, also where it is 0 or 1."""
    if estimate.mean in (0, 1):
        return compute_exact_interval(estimate.mean, estimate.trials)
    return compute_mean_interval(estimate)


def compute_rate_interval(hits: np.ndarray, patients: np.ndarray) -> Interval:
    """Compute Wilson's interval of a rate with the effective number of images: as many independent images would vary
    as much as these, which share patients.

    Args:
        hits: (n,) bool, or shares from 0 to 1; only images that count for the rate.
        patients: (n,)
    """
    if not hits.size:
        return Interval(math.nan, math.nan, math.nan)
    estimate = estimate_ratio(hits, np.ones(hits.size), patients)
    value = estimate.mean
    if value in (0, 1):
        return compute_exact_interval(value, estimate.trials)
    variance = float(compute_covariances(estimate, estimate)[0, 0])
    # Patients can by chance vary less than independent images would: then the images count as they are.
    images = min(hits.size, value * (1 - value) / variance) if variance else hits.size
    square = find_quantile(estimate.trials - 1) ** 2 / images
    centre = (value + square / 2) / (1 + square)
    half = math.sqrt(square * value * (1 - value) + square**2 / 4) / (1 + square)
    return Interval(value, centre - half, centre + half)


def compute_exact_interval(value: float, trials: int) -> Interval:
    """Compute the Clopper-Pearson interval of a share that is 0 or 1."""
    if not trials:
        return Interval(value, math.nan, math.nan)
    width = 1 - ((1 - CONFIDENCE) / 2) ** (1 / trials)
    return Interval(value, 1 - width, 1.0) if value == 1 else Interval(value, 0.0, width)


@dataclass(frozen=True)
class Uncertainty:
    """How much a mean over runs, or the difference of two, would vary in other samples of patients and runs."""

    variance: float
    degrees: float  # of freedom, for Student's t
    of_patients: float  # the part of the variance that falls with the number of patients

    @property
    def error(self) -> float:
        return math.sqrt(self.variance)


def measure_uncertainty(*estimates: Estimate) -> Uncertainty:
    """Measure the uncertainty of one estimate, or of the difference of two on the same patients.

    Runs are not paired: the same seed does not make two ways of training alike.

    As in studies of several readers (Obuchowski and Rockette, Communications in Statistics 1995), the variance has a
    part that all runs share, the choice of patients, and a part of the single runs, which falls with their number.
    It is the variance seen between runs, or what the patients alone make them differ by if that is larger. It is known
    from few runs only, so Student's t has few degrees of freedom where it dominates.
    """
    patients = min(estimate.trials for estimate in estimates) - 1
    if patients < 1:
        return Uncertainty(math.nan, math.nan, math.nan)
    shared = of_runs = 0.0
    parts = []
    for estimate in estimates:
        runs = estimate.values.size
        alone, common, spread = estimate.variances
        shared += common
        parts.append((max(spread, alone - common) / runs, runs - 1 if spread > alone - common else patients))
        of_runs += max(0.0, spread - max(0.0, alone - common)) / runs
    if len(estimates) == 2:
        shared -= 2 * float(compute_covariances(*estimates).mean())
    parts.append((max(0.0, shared), patients))  # negative by chance only: the errors of further runs do not cancel
    variance = sum(part for part, _ in parts)
    # Welch and Satterthwaite
    degrees = variance**2 / sum(part**2 / degrees for part, degrees in parts) if variance else patients
    return Uncertainty(variance, degrees, variance - of_runs)


def find_quantile(degrees: float) -> float:
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))  # scipy.stats.t takes thirty times as long


def compute_covariances(first: Estimate, second: Estimate) -> np.ndarray:  # (runs of first, runs of second)
    patients = len(first.influences)
    covariances: np.ndarray = first.influences.T @ second.influences * patients / max(1, patients - 1)
    return covariances


def sum_by_patient(influences: np.ndarray, patients: np.ndarray) -> np.ndarray:  # (n, runs) → (patients, runs)
    names, patient_of_row = np.unique(patients, return_inverse=True)
    if patient_of_row.shape != influences.shape[:1]:
        raise DataError(
            f"{influences.shape[0]} values and {patient_of_row.size} patients do not match",
            hint="pass one patient for each image",
        )
    sums = np.zeros((names.size, influences.shape[1]))
    np.add.at(sums, patient_of_row, influences)
    return sums
