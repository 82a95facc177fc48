"""Classifiers on embeddings: equal to scikit-learn's, reproducible, and saved as plain data."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.returned import returned
from tests.training.results import flatten_learner
from tfm.core import machine
from tfm.core.errors import DataError, SettingsError, TrainingError
from tfm.core.events import Progress
from tfm.core.randomness import seed_at
from tfm.core.settings.resolve import resolve
from tfm.training import embedding_classifier
from tfm.training.embedding_classifier import (
    check_memory,
    count_parameters,
    fit_learner,
    load_learner,
    predict_probabilities,
    save_learner,
)
from tfm.training.settings import LearnerSettings

LEARNERS = ["forest", "logistic", "boosting"]


def make_blobs(count: int = 90, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Make features of which the first ones separate the classes; a third is malignant."""
    generator = np.random.default_rng(4)
    labels = (np.arange(count) % 3 == 0).astype(int)
    features = generator.normal(size=(count, width)) + labels[:, None] * np.linspace(1, 0, width)
    return features.astype(np.float32), labels


def fit(threads: int = 1, seed: int = 7, **given):
    settings = resolve(LearnerSettings, {}, given)
    return returned(fit_learner(settings, *make_blobs(), seed, threads))


def make_seed(learner: str, seed: int = 7) -> int:
    return seed_at(seed, learner) % 2**32


def test_forest_equals_scikit_learns_with_defaults():
    plain = RandomForestClassifier(random_state=make_seed("forest")).fit(*make_blobs())
    ours = fit()
    assert flatten_learner(ours) == flatten_learner(plain)
    assert len(ours.estimators_) == 100
    assert ours.get_params() == plain.get_params()
    np.testing.assert_array_equal(
        predict_probabilities(ours, make_blobs()[0]), plain.predict_proba(make_blobs()[0])[:, 1]
    )


def test_boosting_and_regression_equal_scikit_learns_with_defaults():
    boosted = HistGradientBoostingClassifier(random_state=make_seed("boosting"), max_iter=25).fit(*make_blobs())
    assert flatten_learner(fit(learner="boosting", trees=25)) == flatten_learner(boosted)
    features, labels = make_blobs()
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000)).fit(
        features.astype(float), labels
    )
    assert flatten_learner(fit(learner="logistic")) == flatten_learner(regression)


@pytest.mark.parametrize("learner", LEARNERS)
def test_learner_does_not_depend_on_threads_and_a_forest_depends_on_the_seed(learner):
    few = {"trees": 25} if learner != "logistic" else {}
    one, several = fit(1, learner=learner, **few), fit(3, learner=learner, **few)
    assert flatten_learner(one) == flatten_learner(several)
    features = make_blobs()[0]
    np.testing.assert_array_equal(predict_probabilities(one, features), predict_probabilities(several, features))
    if learner == "forest":
        assert flatten_learner(one) != flatten_learner(fit(seed=8, learner=learner, **few))


def test_trees_are_added_in_portions_up_to_their_number():
    events = list(fit_learner(LearnerSettings(trees=23), *make_blobs(), 7, 1))
    assert [(event.done, event.total) for event in events if isinstance(event, Progress)] == [
        (10, 23),
        (20, 23),
        (23, 23),
    ]
    assert len(fit(trees=3).estimators_) == 3


def test_depth_and_class_weights_take_effect():
    assert max(tree.get_depth() for tree in fit(trees=20, depth=2).estimators_) == 2
    balanced = RandomForestClassifier(20, class_weight="balanced", random_state=make_seed("forest")).fit(*make_blobs())
    assert flatten_learner(fit(trees=20, class_weights="balanced")) == flatten_learner(balanced)
    assert flatten_learner(fit(trees=20)) != flatten_learner(balanced)
    plain, weighted = (fit(learner="logistic", class_weights=one) for one in ("none", "balanced"))
    features = make_blobs()[0]
    assert predict_probabilities(weighted, features).mean() > predict_probabilities(plain, features).mean()


@pytest.mark.parametrize("given", [{"trees": 20}, {"depth": 3}])
def test_settings_of_trees_are_refused_for_a_regression(given):
    with pytest.raises(SettingsError, match="has no effect when learner is logistic"):
        resolve(LearnerSettings, {}, {"learner": "logistic"} | given)


def test_regression_without_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(embedding_classifier, "MAX_ITERATIONS", 1)
    with pytest.raises(TrainingError, match="did not converge"):
        fit(learner="logistic")


@pytest.mark.parametrize("learner", LEARNERS)
def test_saved_learner_equals_the_fitted_one_and_is_no_pickle(learner, tmp_path):
    grown_one, file = fit(learner=learner), tmp_path / "learner.skops"
    save_learner(grown_one, file)
    again = load_learner(file, 24)
    assert flatten_learner(again) == flatten_learner(grown_one)
    assert count_parameters(again) == count_parameters(grown_one) > 20
    np.testing.assert_array_equal(
        predict_probabilities(again, make_blobs()[0]), predict_probabilities(grown_one, make_blobs()[0])
    )
    with pytest.raises(pickle.UnpicklingError), open(file, "rb") as opened:
        pickle.load(opened)


def test_two_files_of_equal_learners_are_equal_byte_for_byte(tmp_path):
    first, second = (tmp_path / f"{number}.skops" for number in (1, 2))
    save_learner(fit(trees=3), first)
    save_learner(fit(trees=3), second)
    assert first.read_bytes() == second.read_bytes()


def get_nodes(learner):
    """The arrays of its first tree, in which a change is a change of the tree."""
    if isinstance(learner, RandomForestClassifier):
        tree = learner.estimators_[0].tree_
        return {"left": tree.children_left, "right": tree.children_right, "feature": tree.feature}
    nodes = learner._predictors[0][0].nodes
    return {"left": nodes["left"], "right": nodes["right"], "feature": nodes["feature_idx"]}


@pytest.mark.parametrize(("field", "value"), [("left", 1_000_000), ("right", 0), ("feature", 24)])
@pytest.mark.parametrize("learner", ["forest", "boosting"])
def test_a_tree_that_would_end_the_process_is_refused(learner, field, value, tmp_path):
    crafted = fit(learner=learner, trees=3)
    get_nodes(crafted)[field][0] = value
    save_learner(crafted, tmp_path / "learner.skops")
    with pytest.raises(DataError, match="leads nowhere"):
        load_learner(tmp_path / "learner.skops", 24)


def test_learner_file_with_another_type_is_refused_by_name(tmp_path):
    file = tmp_path / "learner.skops"
    planted = make_pipeline(FunctionTransformer(os.getcwd), fit(learner="logistic"))
    skops.io.dump(planted, file)
    with pytest.raises(DataError, match=r"posix\.getcwd") as refusal:
        load_learner(file, 24)
    assert "remove that file" in refusal.value.hint


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:2000]), "cannot be read as a classifier"),
        (lambda file: file.write_bytes(b"no forest"), "cannot be read as a classifier"),
        (
            lambda file: skops.io.dump(StandardScaler().fit(make_blobs()[0]), file),
            "not a classifier for embeddings of 24",
        ),
        (lambda file: skops.io.dump({"trees": 100}, file), "not a classifier for embeddings of 24"),
    ],
    ids=["cut", "other bytes", "another estimator", "no estimator"],
)
def test_file_that_is_no_learner_is_refused(spoil, says, tmp_path):
    file = tmp_path / "learner.skops"
    save_learner(fit(trees=3), file)
    spoil(file)
    with pytest.raises(DataError, match=says):
        load_learner(file, 24)


def test_learner_of_another_embedding_width_is_refused(tmp_path):
    save_learner(fit(trees=3), tmp_path / "learner.skops")
    with pytest.raises(DataError, match="embeddings of 2048 numbers"):
        load_learner(tmp_path / "learner.skops", 2048)


def test_trees_that_need_too_much_memory_are_refused_with_the_estimate(monkeypatch):
    monkeypatch.setattr(machine, "read_memory_gib", lambda: 8.0)
    with pytest.raises(
        SettingsError, match=r"20,000 trees of up to 5,999 nodes may need 29\.1 GiB.* has 8\.0 GiB"
    ) as no:
        check_memory(LearnerSettings(trees=20_000), 3000)
    assert no.value.fields == ("trees", "depth")
    check_memory(LearnerSettings(trees=15_000, depth=8), 3000)
    check_memory(LearnerSettings(trees=20_000, learner="boosting"), 3000)
    check_memory(LearnerSettings(trees=2500), 3000)


def test_estimated_memory_covers_the_largest_forest():
    """Random labels give the largest trees."""
    features, _ = make_blobs(400)
    labels = np.random.default_rng(1).integers(0, 2, 400)
    trees = returned(fit_learner(LearnerSettings(trees=10), features, labels, 7, 1)).estimators_
    assert max(tree.tree_.node_count for tree in trees) <= 2 * 400 - 1
    held = max(sum(array.nbytes for array in tree.tree_.__getstate__().values() if hasattr(array, "nbytes"))
               / tree.tree_.node_count for tree in trees)  # fmt: skip
    assert held <= embedding_classifier.NODE_BYTES


MEASURED = """
import re, sys
from pathlib import Path
import numpy as np
from tests.returned import returned
from tfm.training.embedding_classifier import count_parameters, estimate_memory, fit_learner, load_learner, save_learner
from tfm.training.settings import LearnerSettings

def resident(when):
    return 1024 * int(re.search(rf"{when}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

generator, file = np.random.default_rng(1), Path(sys.argv[1])
found, labels = generator.normal(size=(2000, 4)).astype(np.float32), generator.integers(0, 2, 2000)

def run_once(trees):
    learner = returned(fit_learner(LearnerSettings(trees=trees), found, labels, 7, 1))
    nodes = count_parameters(learner)
    save_learner(learner, file)
    del learner
    load_learner(file, 4)
    return nodes

run_once(3)  # loads libraries
before = resident("VmRSS")
nodes = run_once(300)
print((resident("VmHWM") - before) / estimate_memory(300, nodes // 300))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells a process's own memory")
@pytest.mark.long
def test_fitting_saving_and_loading_a_forest_stay_within_the_estimated_memory(tmp_path):
    words = [sys.executable, "-c", MEASURED, str(tmp_path / "learner.skops")]
    events = subprocess.run(
        words, cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert events.returncode == 0, events.stderr
    assert 0.5 < float(events.stdout) <= 1
