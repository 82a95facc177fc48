"""What learns from embeddings: scikit-learn's random forest, logistic regression or boosted trees, and how one is kept.

On disk by skops: a file of data, of which nothing is ever run as code. Where embeddings come from stands in embeddings.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
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

_AT_ONCE = 10  # trees between two events
_MOST_STEPS = 10_000  # of the regression
_NODE_BYTES = 64 + 2 * 8  # of a tree: scikit-learn's record of a node, and how much of each class reaches it
_COPIES = 3  # of the nodes, at most: while it is written, and while it is read
_TREE_BYTES = 120 * 2**10  # what skops tells of a tree, whatever its size, as it stands in memory
_MEMORY_SHARE = 1 / 2  # of the machine's
_LEAVES_BOOSTED = 31  # of a tree, as scikit-learn has it

# Beside what skops itself knows to be data: the nodes of trees.
_TRUSTED = ["sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


def check_memory(settings: LearnerSettings, images: int) -> None:
    """Before anything is grown: a tree has at most a leaf an image, and a node less than twice as many."""
    memory = machine.read_memory_gib()
    if settings.learner == "logistic" or memory is None:
        return
    leaves = min(images, _LEAVES_BOOSTED) if settings.learner == "boosting" else images
    leaves = min(leaves, 2**settings.depth) if settings.depth is not None else leaves
    wanted = memory_of(settings.trees, 2 * leaves - 1) / 2**30
    if wanted > _MEMORY_SHARE * memory:
        raise SettingsError(
            f"{settings.trees:,} trees of up to {2 * leaves - 1:,} nodes may take {wanted:,.1f} GiB, and this machine "
            f"has {memory:.1f} GiB, of which they may have half",
            hint=f"grow fewer ({hints.setting('trees')}), or keep them small: {hints.setting('depth', 10)}",
            fields=("trees", "depth"),
        )


def memory_of(trees: int, nodes: int) -> int:
    """Bytes that so many trees of so many nodes each take to be grown and kept."""
    return trees * (nodes * _NODE_BYTES * _COPIES + _TREE_BYTES)


def grown(
    settings: LearnerSettings, found: np.ndarray, labels: np.ndarray, seed: int, threads: int
) -> Generator[Event, None, Learner]:
    """From embeddings (n, k) float32. The same to the last bit however many threads grow it."""
    if settings.learner == "logistic":
        return _regressed(settings, found, labels)
    state = seed_at(seed, settings.learner) % 2**32
    weights = _class_weights(settings, labels)
    if settings.learner == "boosting":
        boosted = HistGradientBoostingClassifier(
            max_depth=settings.depth, class_weight=weights, random_state=state, early_stopping=False, warm_start=True
        )
        return (yield from _in_portions(boosted, "max_iter", settings.trees, found, labels))
    forest = RandomForestClassifier(
        max_depth=settings.depth, class_weight=weights, random_state=state, n_jobs=threads, warm_start=True
    )
    yield from _in_portions(forest, "n_estimators", settings.trees, found, labels)
    return forest.set_params(n_jobs=None)  # with several, answers are added up in the order in which they come


def _in_portions(
    learner: Any, count: str, trees: int, found: np.ndarray, labels: np.ndarray
) -> Generator[Event, None, Any]:
    """As many trees as there are: those that stand stay, and the next are what they would have been at once."""
    for done in [*range(_AT_ONCE, trees, _AT_ONCE), trees]:
        with threadpool_limits(1):  # sums of boosting are taken in one order
            learner.set_params(**{count: done}).fit(found, labels)
        yield Progress("trees", done, trees, "trees")
    return learner.set_params(warm_start=False)


def _regressed(settings: LearnerSettings, found: np.ndarray, labels: np.ndarray) -> Pipeline:
    weights = _class_weights(settings, labels)
    learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_STEPS, class_weight=weights))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return learner.fit(found.astype(np.float64), labels)  # type: ignore[no-any-return]
        except ConvergenceWarning as warning:
            raise TrainingError(
                f"the logistic regression did not converge: {str(warning).splitlines()[0]}",
                hint=f"look for images or weights that are not as they should be; or choose "
                f"{hints.setting('learner', 'forest')}",
            ) from None


def _class_weights(settings: LearnerSettings, labels: np.ndarray) -> dict[int, float] | None:
    if settings.class_weights == "none":
        return None
    both = np.array([0, 1])
    return dict(zip(both.tolist(), compute_class_weight("balanced", classes=both, y=labels).tolist(), strict=True))


def probabilities(learner: Learner, found: np.ndarray) -> np.ndarray:  # (n, k) → (n,) float64
    with threadpool_limits(1):
        said: np.ndarray = learner.predict_proba(found)[:, 1]
    return said


def size(learner: Learner) -> int:
    """What it has learned, in numbers: the nodes of its trees, or its weights."""
    if isinstance(learner, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in learner.estimators_)
    if isinstance(learner, Pipeline):
        return int(learner[-1].coef_.size + learner[-1].intercept_.size)
    return sum(len(tree.nodes) for (tree,) in learner._predictors)


def save(learner: Learner, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with files.write_atomically(path) as temporary:
        skops.io.dump(learner, temporary)


def load(path: Path, width: int) -> Learner:
    """One that reads embeddings of so many numbers; whatever else a file holds, it is refused before it is built."""
    again = "remove that file: the next start grows it anew"
    try:
        unexpected = sorted(set(skops.io.get_untrusted_types(file=path)).difference(_TRUSTED))
        if unexpected:
            raise DataError(f"{path} holds what no forest of ours is made of: {', '.join(unexpected)}", hint=again)
        learner = skops.io.load(path, trusted=_TRUSTED)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a forest", hint=again) from error
    if not isinstance(learner, _KINDS) or learner.n_features_in_ != width:
        raise DataError(f"{path} holds nothing that reads embeddings of {width} numbers", hint=again)
    return learner
