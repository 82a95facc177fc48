"""Logistic regression on a network's frozen features, written back as its classifier ("only pretrained weights").

Fitted to convergence in float64; the penalty is chosen on validation. Features are extracted in frozen_features.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn

from tfm.core import hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Metrics, Progress
from tfm.models.head import find_last_layer
from tfm.training.batches import Images
from tfm.training.checkpoint import Checkpoints
from tfm.training.frozen_features import extract_features
from tfm.training.loop import write_metrics
from tfm.training.state import Training
from tfm.training.tasks.classification import Classification

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C, strongest penalty first
_TOLERANCE = 1e-6  # of the gradient at convergence
MAX_ITERATIONS = 10_000
_CONSTANT = 1e-6  # of the largest deviation: a feature that varies less counts as constant


class Regression(NamedTuple):
    """On the features themselves: their scaling is folded in."""

    weights: np.ndarray  # (k,) float64
    bias: float

    def predict_logits(self, features: np.ndarray) -> np.ndarray:  # (n, k) → (n,)
        logits: np.ndarray = features.astype(np.float64) @ self.weights + self.bias
        return logits

    def write_to(self, layer: nn.Linear) -> None:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weights)[None])
            layer.bias.fill_(self.bias)


def fit_linear_probe(training: Training, checkpoints: Checkpoints, metrics_file: Path, folder: Path) -> Iterator[Event]:
    """Do what `run_training` does, for a network of which nothing is trained. Features are saved in `folder`."""
    task, train, val = training.task, training.train, training.val
    assert isinstance(task, Classification)  # everything added to it needs a network that trains
    features = yield from _extract(training, train, folder / "train.npy", "features of training")
    val_features = yield from _extract(training, val, folder / "val.npy", "features of validation")
    best = None
    for done, penalty in enumerate(PENALTIES):
        yield Progress("regression", done, len(PENALTIES), "penalties")
        regression = fit_regression(features, train.samples.labels, penalty, task.malignant_weight)
        outputs, val_outputs = (
            torch.from_numpy(regression.predict_logits(one))[:, None] for one in (features, val_features)
        )
        if record_penalty(training, task, penalty, outputs, val_outputs):
            best = regression
        yield Metrics(training.state.rows[-1])
    assert best is not None
    best.write_to(find_last_layer(training.evaluated_network))
    checkpoints.save_best(training.best_state_dict())
    write_metrics(metrics_file, training, ["C"])
    yield Progress("regression", len(PENALTIES), len(PENALTIES), "penalties")


def record_penalty(
    training: Training, task: Classification, penalty: float, outputs: torch.Tensor, val_outputs: torch.Tensor
) -> bool:
    """Add a row to the metrics from logits (n, 1) of training and validation; return whether it is the best so far."""
    state, labels = training.state, training.train.samples.labels
    row = {"C": penalty, "train_loss": task.compute_mean_loss(outputs, labels)}
    row |= task.compute_train_metrics(outputs, labels)
    row |= task.compute_val_metrics(val_outputs, training.val.samples.labels)
    is_best = row[task.best] > state.best  # of equals the first one wins: it has the stronger penalty
    state.best = max(state.best, row[task.best])
    state.rows.append(row)
    return is_best


def _extract(training: Training, images: Images, file: Path, name: str) -> Generator[Event, None, np.ndarray]:
    network, size = training.evaluated_network, training.batch_size
    layer = find_last_layer(network)
    return (yield from extract_features(network, layer, images, size, file, name=name, precision=training.precision))


def fit_regression(features: np.ndarray, labels: np.ndarray, penalty: float, malignant_weight: float) -> Regression:
    """Fit on a single thread, so that the result is the same to the last bit on any number of threads."""
    weights = np.where(labels == 1, malignant_weight, 1.0)
    (scaled,), (bias,) = fit_coefficients(features, labels, penalty, weights)
    return Regression(scaled, float(bias))


def fit_coefficients(
    features: np.ndarray, labels: np.ndarray, penalty: float, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit to standardised features (n, k): return the coefficients (classes, k) and biases (classes,) on the features
    themselves, one row for two classes. `weights` (n,) are those of the samples."""
    exact = features.astype(np.float64)
    mean, deviation = exact.mean(axis=0), exact.std(axis=0)
    deviation[deviation <= _CONSTANT * deviation.max()] = np.inf  # gives the feature no weight
    regression = LogisticRegression(C=penalty, tol=_TOLERANCE, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            regression.fit((exact - mean) / deviation, labels, sample_weight=weights)
        except ConvergenceWarning as warning:
            raise TrainingError(
                f"the logistic regression with C = {penalty:g} did not converge: {str(warning).splitlines()[0]}",
                hint=f"check the images and the weights, or train more than the classifier: "
                f"{hints.setting('trained', 'last_stage')}",
            ) from None
    scaled = regression.coef_ / deviation
    return scaled, regression.intercept_ - scaled @ mean
