"""Only pretrained weights: a logistic regression on a network's frozen features, that becomes its classifier.

Fitted to convergence in float64; how strongly it is held back is chosen on validation. Where features come from stands
in features.
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

from tfm.core import hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Metrics, Progress
from tfm.models.head import find_last_layer
from tfm.training.batches import Images
from tfm.training.checkpoint import Checkpoints
from tfm.training.frozen_features import features
from tfm.training.loop import write_metrics
from tfm.training.state import Training
from tfm.training.tasks.classification import Classify

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C, the strongest penalty first
_TOLERANCE = 1e-6  # of the gradient, at which a fit has converged
_MOST_STEPS = 10_000
_FLAT = 1e-6  # of the largest deviation: a feature that varies less is the same for every image


class Regression(NamedTuple):
    """On features as the network gives them: the scaling is folded in."""

    weights: np.ndarray  # (k,) float64
    bias: float

    def logits(self, found: np.ndarray) -> np.ndarray:  # (n, k) → (n,)
        logits: np.ndarray = found.astype(np.float64) @ self.weights + self.bias
        return logits


def probe(training: Training, checkpoints: Checkpoints, metrics_file: Path, folder: Path) -> Iterator[Event]:
    """`fit` for a network of which nothing is trained; the features are kept in `folder`."""
    task, learned, judged = training.task, training.train, training.val
    assert isinstance(task, Classify)  # whatever is added to it needs a network that learns
    found = yield from _features(training, learned, folder / "train.npy", "features of training")
    found_val = yield from _features(training, judged, folder / "val.npy", "features of validation")
    standing, best = training.standing, None
    for done, penalty in enumerate(PENALTIES):
        yield Progress("regression", done, len(PENALTIES), "penalties")
        regression = fitted(found, learned.rows.labels, penalty, task.malignant_weight)
        answers, answers_val = (torch.from_numpy(regression.logits(given))[:, None] for given in (found, found_val))
        row = {"C": penalty, "train_loss": task.mean_loss(answers, learned.rows.labels)}
        row |= task.learned(answers, learned.rows.labels)
        row |= task.figures(answers_val, judged.rows.labels)
        if row[task.best] > standing.best:  # of equals the first stays, which is held back more
            standing.best, best = row[task.best], regression
        standing.rows.append(row)
        yield Metrics(row)
    assert best is not None
    _write_back(training, best)
    checkpoints.save_best(training.best_content())
    write_metrics(metrics_file, training, ["C"])
    yield Progress("regression", len(PENALTIES), len(PENALTIES), "penalties")


def _features(training: Training, images: Images, file: Path, name: str) -> Generator[Event, None, np.ndarray]:
    network, size = training.judged, training.batch_size
    layer = find_last_layer(network)
    return (yield from features(network, layer, images, size, file, name=name, precision=training.precision))


def fitted(found: np.ndarray, labels: np.ndarray, penalty: float, malignant_weight: float) -> Regression:
    """The same to the last bit wherever it is fitted anew: it sees one thread only, whatever else has more."""
    exact = found.astype(np.float64)
    mean, deviation = exact.mean(axis=0), exact.std(axis=0)
    deviation[deviation <= _FLAT * deviation.max()] = np.inf  # and so it gets no weight
    regression = LogisticRegression(C=penalty, tol=_TOLERANCE, max_iter=_MOST_STEPS)
    weights = np.where(labels == 1, malignant_weight, 1.0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            regression.fit((exact - mean) / deviation, labels, sample_weight=weights)
        except ConvergenceWarning as warning:
            raise TrainingError(
                f"the logistic regression with C = {penalty:g} did not converge: {str(warning).splitlines()[0]}",
                hint="look for images or weights that are not as they should be; or train more than the classifier: "
                f"{hints.setting('trained', 'last_stage')}",
            ) from None
    scaled = regression.coef_[0] / deviation
    return Regression(scaled, float(regression.intercept_[0] - scaled @ mean))


def _write_back(training: Training, regression: Regression) -> None:
    layer = find_last_layer(training.judged)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(regression.weights)[None])
        layer.bias.fill_(regression.bias)
