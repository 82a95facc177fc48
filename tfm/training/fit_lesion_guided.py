"""Two logistic regressions on frozen features, written into a lesion-guided classifier: one on the pooled features, one
on places whose class the lesion masks tell. A third one joins their scores.

The third one sees scores of images that the other two have not seen: each fold of the training patients is scored by
regressions on the others. The penalty on the pooled features is chosen on validation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tfm.core import hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Metrics, Note, Progress
from tfm.core.randomness import seed_at
from tfm.models.head import count_inputs, find_last_layer
from tfm.models.lesion_guided import PLACE_CLASSES, SCORES, LesionGuidedClassifier, score_places
from tfm.training.batches import Images
from tfm.training.checkpoint import Checkpoints
from tfm.training.fit_linear_classifier import PENALTIES, fit_coefficients, fit_regression, record_penalty
from tfm.training.frozen_features import check_finite, record_input, save_in_batches
from tfm.training.inputs.samples import UNKNOWN, Samples
from tfm.training.lesion_places import PLACES, UNUSED, compute_class_shares, draw_places
from tfm.training.loop import write_metrics
from tfm.training.state import LoopState, Training
from tfm.training.tasks.classification import Classification
from tfm.training.tasks.task_spec import ClassificationSpec

FOLDS = 5  # of the training patients
_PLACE_PENALTY = 1e-3  # scikit-learn's C: neighbouring places are alike, so that many samples say little
_JOINT_PENALTY = 1.0
_WITHOUT_REGRESSIONS = (
    f"learn from the labels alone ({hints.setting('lesion_guidance', 'none')}), or, where layers are trained, begin "
    f"with new heads ({hints.setting('fit_heads', False)})"
)


@dataclass(frozen=True)
class Features:
    """Of the training images."""

    pooled: np.ndarray  # (n, k)
    places: np.ndarray  # (n, P, K): of the drawn places
    classes: np.ndarray  # (n, P): UNUSED where fewer were drawn


def fit_lesion_guided(
    training: Training, checkpoints: Checkpoints, metrics_file: Path, folder: Path
) -> Iterator[Event]:
    """Do what `run_training` does, for a network of which nothing is trained. Features are saved in `folder`."""
    assert isinstance(training.task, Classification)  # everything added to it needs a network that trains
    yield from _fit_heads(training, training.task, folder)
    checkpoints.save_best(training.best_state_dict())
    write_metrics(metrics_file, training, ["C"])


def fit_first_heads(training: Training, checkpoints: Checkpoints, folder: Path) -> Iterator[Event]:
    """Fit the heads before the first step of a training, to the images whose label is known.

    The result is the best network so far: if no epoch improves on it, it is the one that predicts.
    """
    known = training.train.samples.labels != UNKNOWN
    images = replace(training.train, samples=training.train.samples.select(known))
    assert isinstance(training.recipe.task, ClassificationSpec)
    task = training.recipe.task.make_plain(images.samples.labels)
    apart = replace(training, train=images, state=LoopState())
    yield from (event for event in _fit_heads(apart, task, folder) if isinstance(event, Progress))
    training.network.load_state_dict(training.evaluated_network.state_dict())
    training.state.best = apart.state.best
    checkpoints.save_best(training.best_state_dict())
    yield Note(f"regressions on the first features: {task.best.replace('_', ' ')} {apart.state.best:.3f}")


def _fit_heads(training: Training, task: Classification, folder: Path) -> Iterator[Event]:
    network, train = training.evaluated_network, training.train
    assert isinstance(network, LesionGuidedClassifier)
    folds = split_into_folds(train.samples, training.recipe.seed)
    network.eval()
    features = yield from _extract_training(training, network, folder / "train.npy")
    place_scores = yield from _score_unseen(training, network, features, folds, folder)
    fit_places(network, features, np.ones(len(folds), bool))
    val_pooled, val_place_scores = yield from _extract_validation(training, network, folder / "val.npy")
    labels, found = train.samples.labels, None
    for done, penalty in enumerate(PENALTIES):
        yield Progress("regression", done, len(PENALTIES), "penalties")
        scores = np.column_stack([np.empty(len(labels)), place_scores])
        for fold in range(folds.max() + 1):
            held_out = folds == fold
            own = fit_regression(features.pooled[~held_out], labels[~held_out], penalty, task.malignant_weight)
            scores[held_out, 0] = own.predict_logits(features.pooled[held_out])
        joint = fit_regression(scores, labels, _JOINT_PENALTY, task.malignant_weight)
        pooled = fit_regression(features.pooled, labels, penalty, task.malignant_weight)
        val_scores = np.column_stack([pooled.predict_logits(val_pooled), val_place_scores])
        outputs, val_outputs = (torch.from_numpy(joint.predict_logits(one))[:, None] for one in (scores, val_scores))
        if record_penalty(training, task, penalty, outputs, val_outputs):
            found = pooled, joint
        yield Metrics(training.state.rows[-1])
    assert found is not None
    for regression, layer in zip(found, (find_last_layer(network.encoder), network.joint), strict=True):
        regression.write_to(layer)
    yield Progress("regression", len(PENALTIES), len(PENALTIES), "penalties")


def split_into_folds(samples: Samples, seed: int) -> np.ndarray:
    """Number the fold of each image (n,). All images of a patient are in one fold, and each fold has patients with and
    without a malignant image."""
    worst = samples.table.groupby("patient_id")["label"].max()
    groups = [worst.index[worst == label] for label in (1, 0)]
    count = min(FOLDS, *map(len, groups))
    if count < 2:
        raise TrainingError(
            f"{len(groups[0])} training patients have a malignant image and {len(groups[1])} have none: to join the "
            "scores of places and pooled features, two of each are needed",
            hint=f"organize a larger part of the data, {_WITHOUT_REGRESSIONS}",
        )
    fold: dict[str, int] = {}
    for group in groups:
        ordered = sorted(group, key=lambda patient: seed_at(seed, "folds of the regressions", patient))
        fold |= {patient: number % count for number, patient in enumerate(ordered)}
    return samples.table["patient_id"].map(fold).to_numpy()


def fit_places(network: LesionGuidedClassifier, features: Features, chosen: np.ndarray) -> None:
    """Fit the place classifier to the drawn places of the chosen images (n,) bool."""
    classes = features.classes[chosen]
    used = classes != UNUSED
    missing = [name for number, name in enumerate(PLACE_CLASSES) if not (classes == number).any()]
    if missing:
        raise TrainingError(
            f"the lesion masks of {chosen.sum()} training images show no {' and no '.join(missing)} place, and a "
            "regression on places needs each class",
            hint=f"organize a larger part of the data with its ROI masks, {_WITHOUT_REGRESSIONS}",
        )
    weights, biases = fit_coefficients(features.places[chosen][used], classes[used], _PLACE_PENALTY)
    with torch.no_grad():
        network.places.weight.copy_(torch.from_numpy(weights))
        network.places.bias.copy_(torch.from_numpy(biases))


def _extract_training(
    training: Training, network: LesionGuidedClassifier, file: Path
) -> Generator[Event, None, Features]:
    """Extract the pooled features, and the features and classes of drawn places."""
    images, layer = training.train, find_last_layer(network.encoder)
    names = images.samples.table["image_id"].to_numpy()
    width, channels = count_inputs(layer), network.places.in_features

    def compute(chosen: np.ndarray) -> torch.Tensor:
        with record_input(layer) as pooled:
            _, maps = network.encode(images.load(chosen))
        shares = compute_class_shares(images.load_targets(chosen, ["lesions"])["lesions"], maps.shape[-2:])
        drawn = draw_places(shares.cpu().numpy(), names[chosen], training.recipe.seed)
        positions, classes = (torch.from_numpy(one).to(maps.device) for one in drawn)
        places = maps.flatten(2).gather(2, positions[:, None].expand(-1, channels, -1)).mT
        return torch.cat([pooled.pop().float(), places.float().flatten(1), classes.float()], dim=1)

    rows = yield from _save(training, images, compute, width + PLACES * (channels + 1), file, "features of training")
    check_finite(network.encoder, rows)
    pooled, places, classes = np.split(rows, [width, width + PLACES * channels], axis=1)
    return Features(pooled, places.reshape(-1, PLACES, channels), classes.astype(np.int64))


def _score_unseen(
    training: Training, network: LesionGuidedClassifier, features: Features, folds: np.ndarray, folder: Path
) -> Generator[Event, None, np.ndarray]:  # (n, SCORES - 1)
    """Score the places of each fold's images, classified as on the other folds."""
    scores = np.empty((len(folds), SCORES - 1))
    for fold in range(folds.max() + 1):
        held_out = folds == fold
        fit_places(network, features, ~held_out)
        images = replace(training.train, samples=training.train.samples.select(held_out))

        def compute(chosen: np.ndarray, images: Images = images) -> torch.Tensor:
            return _score(network, images.load(chosen))

        file = folder / f"places{fold}.npy"
        rows = yield from _save(training, images, compute, SCORES - 1, file, f"scores of fold {fold + 1}")
        scores[held_out] = rows
    return scores


def _extract_validation(
    training: Training, network: LesionGuidedClassifier, file: Path
) -> Generator[Event, None, tuple[np.ndarray, np.ndarray]]:  # (n, k), (n, SCORES - 1)
    """Extract the pooled features, and score the places."""
    images, layer = training.val, find_last_layer(network.encoder)

    def compute(chosen: np.ndarray) -> torch.Tensor:
        with record_input(layer) as pooled:
            scores = _score(network, images.load(chosen))
        return torch.cat([pooled.pop().float(), scores], dim=1)

    width = count_inputs(layer)
    rows = yield from _save(training, images, compute, width + SCORES - 1, file, "features of validation")
    check_finite(network.encoder, rows)
    return rows[:, :width], rows[:, width:]


def _score(network: LesionGuidedClassifier, images: torch.Tensor) -> torch.Tensor:  # (B, SCORES - 1)
    _, places = network.locate(images)
    return score_places(places.float())


def _save(
    training: Training,
    images: Images,
    compute: Callable[[np.ndarray], torch.Tensor],
    width: int,
    file: Path,
    name: str,
) -> Generator[Event, None, np.ndarray]:
    size, precision = training.batch_size, training.precision
    return (yield from save_in_batches(compute, width, images, size, file, name=name, precision=precision))
