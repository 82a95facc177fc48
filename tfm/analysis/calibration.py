"""Temperature scaling: one number, fitted on validation, that makes probabilities as sure as they should be.

A run stores the probabilities of its network. Calibrated ones are computed from these and never stored. The temperature
changes no order and no call, so AUC and threshold are as before (Guo et al., ICML 2017).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from tfm.analysis.settings import Split
from tfm.analysis.trained_run import TrainedModel

COLDEST, HOTTEST = 0.05, 20.0  # where validation is separated completely, or has no order, the best one is not finite
_SMALLEST = 1e-6  # forests and averages give probabilities of exactly 0 and 1, which have no logit


def find_logits(probs: np.ndarray) -> np.ndarray:  # (n,), all finite
    logits: np.ndarray = logit(np.clip(probs, _SMALLEST, 1 - _SMALLEST))
    return logits


def fit_temperature(labels: np.ndarray, probs: np.ndarray) -> float:
    """Find the temperature with the highest likelihood. `labels` and `probs` must be those of validation.

    Args:
        labels: (n,) 0 or 1
        probs: (n,)
    """
    signed = np.where(labels == 1, 1, -1) * find_logits(probs)

    def measure_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    found = minimize_scalar(measure_loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def scale_probabilities(probs: np.ndarray, temperature: float) -> np.ndarray:  # (n,)
    scaled: np.ndarray = expit(find_logits(probs) / temperature)
    return scaled


def find_temperature(model: TrainedModel) -> float:
    """Fit the temperature of a trained model on its validation split, in the unit that it is counted in."""
    table = model.validation
    return fit_temperature(table["label"].to_numpy(), table["prob"].to_numpy())


def calibrate_split(model: TrainedModel, split: Split) -> np.ndarray:  # (units,)
    """Compute the calibrated probabilities of a split."""
    return scale_probabilities(model.select_split(split)["prob"].to_numpy(), find_temperature(model))
