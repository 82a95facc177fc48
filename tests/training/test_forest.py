"""Learners on embeddings: scikit-learn's own with its defaults, the same however they came about, kept as data."""

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


def blobs(count: int = 90, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A third is malignant, and shows in the first numbers."""
    generator = np.random.default_rng(4)
    labels = (np.arange(count) % 3 == 0).astype(int)
    found = generator.normal(size=(count, width)) + labels[:, None] * np.linspace(1, 0, width)
    return found.astype(np.float32), labels


def learned(threads: int = 1, seed: int = 7, **given):
    settings = resolve(LearnerSettings, {}, given)
    return returned(fit_learner(settings, *blobs(), seed, threads))


def state(learner: str, seed: int = 7) -> int:
    return seed_at(seed, learner) % 2**32


def inside(learner) -> list[bytes]:
    """All that was learned, to the last bit."""
    if isinstance(learner, RandomForestClassifier):
        trees = [tree.tree_ for tree in learner.estimators_]
        parts = ("children_left", "children_right", "feature", "threshold", "value")
        return [getattr(tree, part).tobytes() for tree in trees for part in parts]
    if isinstance(learner, HistGradientBoostingClassifier):
        return [tree.nodes.tobytes() for (tree,) in learner._predictors]
    return [learner[-1].coef_.tobytes(), learner[-1].intercept_.tobytes()]


def test_a_forest_is_scikit_learns_own_with_its_defaults():
    plain = RandomForestClassifier(random_state=state("forest")).fit(*blobs())
    ours = learned()
    assert inside(ours) == inside(plain)
    assert len(ours.estimators_) == 100
    assert ours.get_params() == plain.get_params()
    np.testing.assert_array_equal(predict_probabilities(ours, blobs()[0]), plain.predict_proba(blobs()[0])[:, 1])


def test_boosting_and_regression_are_too():
    boosted = HistGradientBoostingClassifier(random_state=state("boosting"), max_iter=25).fit(*blobs())
    assert inside(learned(learner="boosting", trees=25)) == inside(boosted)
    found, labels = blobs()
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000)).fit(found.astype(float), labels)
    assert inside(learned(learner="logistic")) == inside(regression)


@pytest.mark.parametrize("learner", LEARNERS)
def test_it_is_the_same_whatever_the_number_of_cores_and_another_with_another_seed(learner):
    few = {"trees": 25} if learner != "logistic" else {}
    one, several = learned(1, learner=learner, **few), learned(3, learner=learner, **few)
    assert inside(one) == inside(several)
    found = blobs()[0]
    np.testing.assert_array_equal(predict_probabilities(one, found), predict_probabilities(several, found))
    if learner == "forest":
        assert inside(one) != inside(learned(seed=8, learner=learner, **few))


def test_trees_come_one_portion_after_the_other_and_no_more_than_were_wanted():
    told = list(fit_learner(LearnerSettings(trees=23), *blobs(), 7, 1))
    assert [(event.done, event.total) for event in told if isinstance(event, Progress)] == [
        (10, 23),
        (20, 23),
        (23, 23),
    ]
    assert len(learned(trees=3).estimators_) == 3


def test_depth_and_class_weights_are_what_they_say():
    assert max(tree.get_depth() for tree in learned(trees=20, depth=2).estimators_) == 2
    balanced = RandomForestClassifier(20, class_weight="balanced", random_state=state("forest")).fit(*blobs())
    assert inside(learned(trees=20, class_weights="balanced")) == inside(balanced)
    assert inside(learned(trees=20)) != inside(balanced)
    plain, weighted = (learned(learner="logistic", class_weights=one) for one in ("none", "balanced"))
    found = blobs()[0]
    assert predict_probabilities(weighted, found).mean() > predict_probabilities(plain, found).mean()


@pytest.mark.parametrize("given", [{"trees": 20}, {"depth": 3}])
def test_a_regression_has_no_trees(given):
    with pytest.raises(SettingsError, match="has no effect when learner is logistic"):
        resolve(LearnerSettings, {}, {"learner": "logistic"} | given)


def test_a_regression_that_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr(embedding_classifier, "MAX_ITERATIONS", 1)
    with pytest.raises(TrainingError, match="did not converge"):
        learned(learner="logistic")


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_is_kept_says_what_was_grown_and_is_no_pickle(learner, tmp_path):
    grown_one, file = learned(learner=learner), tmp_path / "learner.skops"
    save_learner(grown_one, file)
    again = load_learner(file, 24)
    assert inside(again) == inside(grown_one)
    assert count_parameters(again) == count_parameters(grown_one) > 20
    np.testing.assert_array_equal(
        predict_probabilities(again, blobs()[0]), predict_probabilities(grown_one, blobs()[0])
    )
    with pytest.raises(pickle.UnpicklingError), open(file, "rb") as opened:
        pickle.load(opened)


def test_a_file_with_anything_else_in_it_is_refused_by_name(tmp_path):
    file = tmp_path / "learner.skops"
    planted = make_pipeline(FunctionTransformer(os.getcwd), learned(learner="logistic"))
    skops.io.dump(planted, file)
    with pytest.raises(DataError, match=r"posix\.getcwd") as refusal:
        load_learner(file, 24)
    assert "remove that file" in refusal.value.hint


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:2000]), "cannot be read as a classifier"),
        (lambda file: file.write_bytes(b"no forest"), "cannot be read as a classifier"),
        (lambda file: skops.io.dump(StandardScaler().fit(blobs()[0]), file), "not a classifier for embeddings of 24"),
        (lambda file: skops.io.dump({"trees": 100}, file), "not a classifier for embeddings of 24"),
    ],
    ids=["cut", "other bytes", "another estimator", "no estimator"],
)
def test_a_file_that_is_no_learner_is_refused(spoil, says, tmp_path):
    file = tmp_path / "learner.skops"
    save_learner(learned(trees=3), file)
    spoil(file)
    with pytest.raises(DataError, match=says):
        load_learner(file, 24)


def test_a_learner_of_embeddings_of_another_width_is_refused(tmp_path):
    save_learner(learned(trees=3), tmp_path / "learner.skops")
    with pytest.raises(DataError, match="embeddings of 2048 numbers"):
        load_learner(tmp_path / "learner.skops", 2048)


def test_more_trees_than_memory_holds_are_refused_with_the_estimate(monkeypatch):
    monkeypatch.setattr(machine, "read_memory_gib", lambda: 8.0)
    with pytest.raises(
        SettingsError, match=r"20,000 trees of up to 5,999 nodes may need 29\.1 GiB.* has 8\.0 GiB"
    ) as no:
        check_memory(LearnerSettings(trees=20_000), 3000)
    assert no.value.fields == ("trees", "depth")
    check_memory(LearnerSettings(trees=15_000, depth=8), 3000)
    check_memory(LearnerSettings(trees=20_000, learner="boosting"), 3000)
    check_memory(LearnerSettings(trees=2500), 3000)


def test_the_estimate_is_never_less_than_a_forest_takes():
    """Labels that nothing explains make the largest trees."""
    found, _ = blobs(400)
    labels = np.random.default_rng(1).integers(0, 2, 400)
    trees = returned(fit_learner(LearnerSettings(trees=10), found, labels, 7, 1)).estimators_
    assert max(tree.tree_.node_count for tree in trees) <= 2 * 400 - 1
    held = max(sum(array.nbytes for array in tree.tree_.__getstate__().values() if hasattr(array, "nbytes"))
               / tree.tree_.node_count for tree in trees)  # fmt: skip
    assert held <= embedding_classifier._NODE_BYTES


MEASURED = """
import re, sys
from pathlib import Path
import numpy as np
from tests.returned import returned
from tfm.training.embedding_classifier import grown, load, memory_of, save, size
from tfm.training.settings import LearnerSettings

def resident(when):
    return 1024 * int(re.search(rf"{when}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

generator, file = np.random.default_rng(1), Path(sys.argv[1])
found, labels = generator.normal(size=(2000, 4)).astype(np.float32), generator.integers(0, 2, 2000)

def kept(trees):
    learner = returned(grown(LearnerSettings(trees=trees), found, labels, 7, 1))
    nodes = size(learner)
    save(learner, file)
    del learner
    load(file, 4)
    return nodes

kept(3)  # libraries
before = resident("VmRSS")
nodes = kept(300)
print((resident("VmHWM") - before) / memory_of(300, nodes // 300))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells a process's own memory")
@pytest.mark.long
def test_growing_keeping_and_reading_a_forest_takes_what_is_said_of_it(tmp_path):
    words = [sys.executable, "-c", MEASURED, str(tmp_path / "learner.skops")]
    told = subprocess.run(
        words, cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert 0.5 < float(told.stdout) <= 1
