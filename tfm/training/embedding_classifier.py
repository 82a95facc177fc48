"""Classifiers on embeddings: scikit-learn's random forest, logistic regression or boosted trees, and their files.

skops writes them as plain data, so that loading a file never runs code. Embeddings are extracted in embeddings.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tfm.core import files, hints, machine
from tfm.core.errors import DataError, SettingsError, TrainingError
from tfm.core.events import Event, Progress
from tfm.core.randomness import seed_at
from tfm.training.settings import LearnerSettings

_KINDS = (RandomForestClassifier, HistGradientBoostingClassifier, Pipeline)
Learner = Any  # one of these

_TREES_PER_EVENT = 10
MAX_ITERATIONS = 10_000  # of the regression
NODE_BYTES = 64 + 2 * 8  # scikit-learn's record of a tree's node, and the weight of each class that reaches it
_COPIES = 3  # of the nodes, at most, while a file is written or read
_TREE_BYTES = 120 * 2**10  # skops's description of a tree of any size, in memory
_MEMORY_SHARE = 1 / 2  # of the machine's
_MAX_BOOSTED_LEAVES = 31  # scikit-learn's default

_SCHEMA = "schema.json"
_PLACE = re.compile(r'("__id__": |"file": ")(\d+)')

# In addition to the types that skops trusts: the nodes of trees.
_TRUSTED = ["sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


def check_memory(settings: LearnerSettings, images: int) -> None:
    """Check before training: a tree has at most one leaf for each image, and one node less than twice as many."""
    memory = machine.read_memory_gib()
    if settings.learner == "logistic" or memory is None:
        return
    leaves = min(images, _MAX_BOOSTED_LEAVES) if settings.learner == "boosting" else images
    leaves = min(leaves, 2**settings.depth) if settings.depth is not None else leaves
    needed = estimate_memory(settings.trees, 2 * leaves - 1) / 2**30
    if needed > _MEMORY_SHARE * memory:
        raise SettingsError(
            f"{settings.trees:,} trees of up to {2 * leaves - 1:,} nodes may need {needed:,.1f} GiB, and this machine "
            f"has {memory:.1f} GiB, of which they may use half",
            hint=f"use fewer trees ({hints.setting('trees')}), or limit their depth: {hints.setting('depth', 10)}",
            fields=("trees", "depth"),
        )


def estimate_memory(trees: int, nodes: int) -> int:
    """In bytes, to train the trees and to write them to a file."""
    return trees * (nodes * NODE_BYTES * _COPIES + _TREE_BYTES)


def fit_learner(
    settings: LearnerSettings, embeddings: np.ndarray, labels: np.ndarray, seed: int, threads: int
) -> Generator[Event, None, Learner]:
    """Fit to embeddings (n, k) float32. The result is the same to the last bit on any number of threads."""
    if settings.learner == "logistic":
        return _fit_logistic(settings, embeddings, labels)
    state = seed_at(seed, settings.learner) % 2**32
    weights = _compute_class_weights(settings, labels)
    if settings.learner == "boosting":
        boosted = HistGradientBoostingClassifier(
            max_depth=settings.depth, class_weight=weights, random_state=state, early_stopping=False, warm_start=True
        )
        return (yield from _fit_in_portions(boosted, "max_iter", settings.trees, embeddings, labels))
    forest = RandomForestClassifier(
        max_depth=settings.depth, class_weight=weights, random_state=state, n_jobs=threads, warm_start=True
    )
    yield from _fit_in_portions(forest, "n_estimators", settings.trees, embeddings, labels)
    return forest.set_params(n_jobs=None)  # several jobs would add up predictions in any order


def _fit_in_portions(
    learner: Any, count: str, trees: int, embeddings: np.ndarray, labels: np.ndarray
) -> Generator[Event, None, Any]:
    """Add trees portion by portion; the result is the same as in one go."""
    for done in [*range(_TREES_PER_EVENT, trees, _TREES_PER_EVENT), trees]:
        with threadpool_limits(1):  # boosting then adds up in a fixed order
            learner.set_params(**{count: done}).fit(embeddings, labels)
        yield Progress("trees", done, trees, "trees")
    return learner.set_params(warm_start=False)


def _fit_logistic(settings: LearnerSettings, embeddings: np.ndarray, labels: np.ndarray) -> Pipeline:
    weights = _compute_class_weights(settings, labels)
    learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS, class_weight=weights))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return learner.fit(embeddings.astype(np.float64), labels)  # type: ignore[no-any-return]
        except ConvergenceWarning as warning:
            raise TrainingError(
                f"the logistic regression did not converge: {str(warning).splitlines()[0]}",
                hint=f"check the images and the weights, or choose {hints.setting('learner', 'forest')}",
            ) from None


def _compute_class_weights(settings: LearnerSettings, labels: np.ndarray) -> dict[int, float] | None:
    if settings.class_weights == "none":
        return None
    benign, malignant = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels).tolist()
    return {0: benign, 1: malignant}


def predict_probabilities(learner: Learner, embeddings: np.ndarray) -> np.ndarray:  # (n, k) → (n,) float64
    with threadpool_limits(1):
        probs: np.ndarray = learner.predict_proba(embeddings)[:, 1]
    return probs


def count_parameters(learner: Learner) -> int:
    """Count the nodes of its trees, or its weights."""
    if isinstance(learner, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in learner.estimators_)
    if isinstance(learner, Pipeline):
        return int(learner[-1].coef_.size + learner[-1].intercept_.size)
    return sum(len(tree.nodes) for (tree,) in learner._predictors)


def save_learner(learner: Learner, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with files.write_atomically(path) as temporary, tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp") as raw:
        skops.io.dump(learner, raw.name)
        _rewrite_alike(Path(raw.name), temporary)


def _rewrite_alike(source: Path, target: Path) -> None:
    """Rewrite a file of skops without what differs between two of equal content: times, and places in memory."""
    places: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] + places.setdefault(found[2], str(len(places)))

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        schema = _PLACE.sub(number, old.read(_SCHEMA).decode())
        new.writestr(zipfile.ZipInfo(_SCHEMA), schema)
        for place, name in places.items():
            if f"{place}.npy" in old.NameToInfo:
                with (
                    old.open(f"{place}.npy") as array,
                    new.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as copy,
                ):
                    shutil.copyfileobj(array, copy)


def load_learner(path: Path, width: int) -> Learner:
    """Load a classifier for embeddings of this width. Anything else in a file is refused before it is built."""
    again = "remove that file: the next start trains it again"
    try:
        unexpected = sorted(set(skops.io.get_untrusted_types(file=path)).difference(_TRUSTED))
        if unexpected:
            raise DataError(f"{path} contains unexpected types: {', '.join(unexpected)}", hint=again)
        learner = skops.io.load(path, trusted=_TRUSTED)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a classifier", hint=again) from error
    if not isinstance(learner, _KINDS) or getattr(learner, "n_features_in_", None) != width:
        raise DataError(f"{path} is not a classifier for embeddings of {width} numbers", hint=again)
    if not all(_is_sound(tree, width) for tree in _list_trees(learner)):
        raise DataError(f"{path} has a tree that leads nowhere", hint=again)
    return learner


def _list_trees(learner: Learner) -> list[Any]:
    if isinstance(learner, RandomForestClassifier):
        return [tree.tree_ for tree in learner.estimators_]
    return [tree for trees in getattr(learner, "_predictors", []) for tree in trees]


def _is_sound(tree: Any, width: int) -> bool:
    """Whether each node leads to later nodes and reads a number that exists, which scikit-learn does not check."""
    if isinstance(tree, TreePredictor):
        nodes = tree.nodes
        inner = nodes["is_leaf"] == 0
        left, right, read = nodes["left"], nodes["right"], nodes["feature_idx"]
        is_plain = not nodes["is_categorical"].any()
    else:
        if tree.node_count > tree.capacity:
            return False
        left, right, read = tree.children_left, tree.children_right, tree.feature
        inner, is_plain = left != -1, True
    places = np.arange(len(inner))
    leads = [(places < child) & (child < len(inner)) for child in (left.astype(np.int64), right.astype(np.int64))]
    reads = (read >= 0) & (read < width)
    return bool(len(inner)) and is_plain and bool((~inner | (leads[0] & leads[1] & reads)).all())
