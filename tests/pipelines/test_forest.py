"""A forest on a frozen network: its predictions, what it never changes, and what it refuses."""

import gc
import os

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.data.caches import dataset_of, small_download
from tests.pipelines.forests import average_run, forest_run, head_run, workspace_with_a_head
from tests.training.results import flatten_learner
from tests.training.small_dataset import PATIENTS, finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import open_trained_model
from tfm.core import machine, registry
from tfm.core.errors import SettingsError
from tfm.core.events import Note, Picture, Progress
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_run
from tfm.core.runs.plan import Plan
from tfm.core.runs.resolve_command_settings import find_preset, load_settings
from tfm.core.runs.run import Run
from tfm.core.settings import presets
from tfm.metrics.classification import compute_auc, find_youden_threshold
from tfm.pipelines import forest as pipeline
from tfm.training.checkpoint import read_checkpoint
from tfm.training.embedding_classifier import load_learner
from tfm.training.embeddings import Backbone
from tfm.training.minutes_of_work import measure_minutes_of_work


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return finish_run(head_run(workspace_with_a_head(tmp_path_factory.mktemp("forest"))))


@pytest.fixture(scope="module")
def forest(head):
    return finish_run(forest_run(head))


def _file(run):
    return run.checkpoints_folder / "learner.skops"


def learner_of(run):
    return load_learner(_file(run), 96)


def tensors(run):
    return {
        name: tensor.numpy().tobytes()
        for name, tensor in read_checkpoint(run.checkpoints_folder / "best.pt")["network"].items()
    }


def refused(run) -> str:
    assert worker.execute_run(run, stopping=run) == "failed"
    return run.read_status().message


def again(run) -> Run:
    """The same run again, not started yet."""
    preset = find_preset(run.workspace, run.read_stage(), run.read_preset())
    return find_or_create_run(
        run.workspace, registry.find_stage(run.read_stage()), load_settings(run), preset, fresh=True
    )


# --- what it leaves behind --------------------------------------------------------------------------------------------


def test_predictions_have_the_columns_of_a_train_run(head, forest):
    for split in ("val", "test"):
        ours, theirs = (read_predictions(run.predictions_file(split)) for run in (forest, head))
        pd.testing.assert_frame_equal(ours.drop(columns="prob"), theirs.drop(columns="prob"))
        assert ours["prob"].between(0, 1).all()


def test_the_threshold_is_chosen_on_validation_by_the_rule_of_the_head(head, forest):
    val = read_predictions(forest.predictions_file("val"))
    labels, probs = val["label"].to_numpy(), val["prob"].to_numpy()
    result = forest.read_status().result
    assert result["threshold"] == find_youden_threshold(labels, probs)
    assert result["val_auc"] == compute_auc(labels, probs)
    assert result["threshold_rule"] == head.read_status().result["threshold_rule"]


def test_the_result_describes_the_model(head, forest):
    result = forest.read_status().result
    assert result["model"] == "Small_RF"
    assert result["weights"] == "none: from scratch"
    nodes = sum(tree.tree_.node_count for tree in learner_of(forest).estimators_)
    assert result["parameters"] == head.read_status().result["parameters"] - (96 * 16 + 16 + 16 + 1) + nodes
    assert {output["path"].rpartition("/")[2] for output in forest.read_status().outputs} == {
        *("val.csv", "test.csv", "learner.skops", "embeddings.png", "embeddings.pdf")
    }


def test_it_remembers_the_patients_seen_by_its_backbone_and_its_data(head, forest):
    for fact in ("patients_seen", "dataset_hash", "split_hash", "images_sha256", "protocol", "synthetic"):
        assert forest.read_environment()[fact] == head.read_environment()[fact]


def test_embeddings_are_drawn(forest):
    (picture,) = [event for event in forest.read_events() if isinstance(event, Picture)]
    assert (forest.figures_folder / "embeddings.png").read_bytes().startswith(b"\x89PNG")
    assert "pool2048" in picture.title


def test_another_forest_on_the_same_backbone_reuses_the_embeddings(head, forest):
    run = finish_run(forest_run(head, trees=10, projection="tsne"))
    told = [event.name for event in run.read_events() if isinstance(event, Progress)]
    assert "trees" in told
    assert not [name for name in told if name.startswith("embeddings")]
    assert any("extracted before" in event.text for event in run.read_events() if isinstance(event, Note))
    assert len(learner_of(run).estimators_) == 10


@pytest.mark.parametrize(
    ("learner", "name"), [("logistic", "Small_LR (dense128)"), ("boosting", "Small_GB (dense128)")]
)
def test_other_classifiers_and_the_dense_embedding_can_be_chosen(head, forest, learner, name):
    run = finish_run(forest_run(head, learner=learner, embedding="dense128"))
    assert run.read_status().result["model"] == name
    assert run.predictions_file("test").read_bytes() != forest.predictions_file("test").read_bytes()


# --- what it never does -----------------------------------------------------------------------------------------------


def test_head_and_forest_leave_the_backbone_unchanged(head, tmp_path):
    """Batch statistics included: they are the same before the first step of the head and after the forest."""
    untrained = finish_run(head_run(head.workspace, learning_rate=1e-30))
    finish_run(forest_run(head))
    before, after = tensors(untrained), tensors(head)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"}
    assert any("running_mean" in name for name in before)
    assert head.has_intact_outputs()


def test_test_labels_do_not_affect_training(head, forest):
    workspace = head.workspace
    make_small_dataset(workspace, "shuffled")

    def turned(manifest):
        other = manifest["label"].map({"benign": "malignant", "malignant": "benign"})
        some = (manifest["split"] == "test") & (manifest["view"] == "CC")
        return manifest.assign(label=manifest["label"].mask(some, other))

    rewrite_manifest(workspace, turned, "shuffled")
    their_head = finish_run(head_run(workspace, dataset="shuffled", cache="shuffled"))
    their_forest = finish_run(forest_run(their_head))
    assert tensors(their_head) == tensors(head)
    assert flatten_learner(learner_of(their_forest)) == flatten_learner(learner_of(forest))
    for ours, theirs in ((head, their_head), (forest, their_forest)):
        assert ours.predictions_file("val").read_bytes() == theirs.predictions_file("val").read_bytes()
        assert ours.read_status().result["threshold"] == theirs.read_status().result["threshold"]
        said, said_there = (read_predictions(run.predictions_file("test")) for run in (ours, theirs))
        assert (said["prob"] == said_there["prob"]).all()
        assert (said["label"] != said_there["label"]).any()


def test_an_image_that_cannot_be_read_is_an_error_and_never_a_black_one(tmp_path):
    workspace = workspace_with_a_head(tmp_path)
    dataset = dataset_of(small_download(tmp_path), workspace.dataset_folder("cut"), seed=4)
    film = dataset.path(dataset.select_images("train")["file"][0])
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    given = {"dataset": "cut", "cache": "cut", "workers": 1, "on_bad_image": "stop"}
    run = find_or_create_job(workspace, "preprocess", given, ["resnet"])
    assert worker.execute_run(run, stopping=run) == "failed"
    assert film.stem in run.read_status().message
    assert "cut" not in workspace.list_products("cache")
    with pytest.raises(SettingsError, match="no cache is called 'cut'"):
        head_run(workspace, dataset="cut", cache="cut")


@pytest.mark.parametrize("missing", ["P_train00_LEFT_CC", "P_test00_LEFT_CC"])
def test_an_image_missing_from_the_cache_is_named_before_training(tmp_path, missing):
    workspace = workspace_with_a_head(tmp_path)
    cache = workspace.cache_folder("pocket")
    index = pd.read_csv(cache / "index.csv")
    kept = index["image_id"] != missing
    index[kept].to_csv(cache / "index.csv", index=False)
    for array in ("images", "breast", "lesions"):
        np.save(cache / f"{array}.npy", np.load(cache / f"{array}.npy")[kept])
    run = head_run(workspace)
    assert missing in refused(run)
    assert not run.checkpoints_folder.exists()


def test_a_forest_uses_only_the_labels_that_its_backbone_had(head):
    few = finish_run(forest_run(finish_run(head_run(head.workspace, label_percent=34, epochs=1)), learner="forest"))
    learned = learner_of(few).estimators_[0].tree_.weighted_n_node_samples[0]
    assert learned == 2 * PATIENTS["train"] / 3, "two images of each of a third of the patients"


def test_the_backbone_is_freed_before_the_gpu_is_released(head, monkeypatch):
    prepare, left = pipeline.prepare_device, []

    def prepare_and_watch(settings, run, held):
        held.callback(lambda: left.append([one for one in gc.get_objects() if type(one) is Backbone]))
        held.callback(gc.collect)
        return (yield from prepare(settings, run, held))

    monkeypatch.setattr(pipeline, "prepare_device", prepare_and_watch)
    finish_run(forest_run(head, seed=8))
    assert left == [[]]


def test_images_are_read_once_if_all_have_labels(head):
    run = finish_run(forest_run(head, seed=9))
    read_whole = [
        event
        for event in run.read_events()
        if isinstance(event, Progress) and event.name.startswith("fingerprint") and event.done == event.total
    ]
    assert len(read_whole) == 1


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_a_forest_stopped_at_any_event_ends_as_an_undisturbed_one(head, forest):
    stopped, turns = again(forest), 0
    while stopped.read_status().state != "done":
        turns += 1
        generator = registry.find_stage("forest").generate(load_settings(stopped), stopped)
        with stopped.hold_lock(), stopped.open_event_log():
            for count, _ in enumerate(generator, start=1):
                if count >= 2 * turns:
                    break
            else:
                break
        generator.close()
    assert turns > 2
    finish_run(stopped)
    names = ("val", "test")
    assert [stopped.predictions_file(name).read_bytes() for name in names] == [
        forest.predictions_file(name).read_bytes() for name in names
    ]
    assert flatten_learner(learner_of(stopped)) == flatten_learner(learner_of(forest))


def test_a_malicious_learner_file_is_refused(head, forest):
    stopped = again(forest)
    stopped.checkpoints_folder.mkdir()
    skops.io.dump(make_pipeline(FunctionTransformer(os.getcwd)), stopped.checkpoints_folder / "learner.skops")
    assert "posix.getcwd" in refused(stopped)


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_a_dataset_changed_since_training_of_the_backbone_is_refused(tmp_path):
    workspace = workspace_with_a_head(tmp_path)
    trained = finish_run(head_run(workspace))
    rewrite_manifest(workspace, lambda manifest: manifest.assign(density="1"))
    assert f"the dataset of {trained.id} have changed since it was trained" in refused(forest_run(trained))


def test_a_backbone_with_breast_pooling_is_refused(head):
    pooled = finish_run(
        make_train_run(head.workspace, "ResNet18_CFT", architecture="test_resnet", pooling="breast", epochs=1)
    )
    assert "averages its features over the breast" in refused(forest_run(pooled))


def test_one_class_only_is_refused(tmp_path):
    workspace = workspace_with_a_head(tmp_path)
    rewrite_manifest(workspace, lambda manifest: manifest.assign(label="benign"))
    assert "all 36 training images are benign" in refused(head_run(workspace))


def test_too_many_trees_for_the_memory_are_refused_before_training(head, monkeypatch):
    monkeypatch.setattr(machine, "read_memory_gib", lambda: 0.001)
    run = forest_run(head, trees=5000)
    said = refused(run)
    assert "5,000 trees of up to 71 nodes" in said
    assert "0.7 GiB" in said
    assert not [event for event in run.read_events() if isinstance(event, Progress)]


def test_a_trial_of_a_study_is_refused_as_backbone(head):
    trial = finish_run(head_run(head.workspace, trial="a-study/1", epochs=1))
    run = forest_run(trial)
    assert f"{trial.id} is a trial of a study" in refused(run)
    assert "winner" in run.read_status().hint
    assert not run.predictions_file("test").exists()


def test_a_run_without_a_network_is_refused_as_backbone(head, forest):
    with pytest.raises(SettingsError, match="is a run of forest"):
        forest_run(forest)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_resnet50_rf_is_a_plan_of_the_head_the_forest_and_their_average(head, forest):
    given = {"dataset": "pocket", "cache": "pocket"}
    plan = find_or_create_job(head.workspace, "train", given, ["ResNet50_RF"])
    assert isinstance(plan, Plan)
    assert [(step.name, step.stage, step.preset) for step in plan.read_steps()] == [
        ("head", "train", "ResNet50_Head"),
        ("forest", "forest", None),
        ("average", "average", None),
    ]
    preset = presets.load_preset("models", "ResNet50_Head").settings
    assert preset["model"] == {
        "architecture": "resnet50",
        "weights": "imagenet",
        "trained": "head",
        "head": 128,
        "dropout": 0.5,
    }


def test_its_three_models_are_compared_and_complete_runs_are_reused(head, forest):
    workspace = head.workspace
    given = {"dataset": "pocket", "cache": "pocket", "head": "Small_Head", "trees": 20, "threads": 1, "device": "cpu"}
    before = {run.name for run in workspace.runs_folder.iterdir()}
    plan = find_or_create_job(workspace, "head-and-forest", given)
    assert worker.execute_plan(plan) == "done", plan.read_status().message
    assert {plan.read_status().runs["head"], plan.read_status().runs["forest"]} <= before
    compared = finish_run(find_or_create_job(workspace, "compare", {"runs": list(plan.read_status().runs.values())}))
    rows = {row["model"]: row for row in compared.read_status().result["rows"]}
    assert rows.keys() == {"Small_Head", "Small_RF", "Small_Head + Small_RF"}
    assert len({row["protocol"] for row in rows.values()}) == 1
    everything = find_or_create_job(workspace, "compare", {})
    assert set(plan.read_status().runs.values()) <= set(everything.read_settings()["runs"])


@pytest.mark.parametrize("said", ["none", "imagenet"])
def test_given_weights_are_those_of_the_head(head, said):
    plan = find_or_create_job(
        head.workspace, "train", {"dataset": "pocket", "cache": "pocket", "weights": said}, ["ResNet50_RF"]
    )
    assert plan.read_steps()[0].settings["weights"] == said, "none is from scratch, and not nothing said"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"head": "nosuch"}, "no model called 'nosuch'"),
        ({"head": "EfficientNetB3_Optuna"}, "is a preset of tune-and-train, but head needs one of train"),
        ({"head": "ResNet18_CFT", "embedding": "dense128"}, "ResNet18_CFT has no hidden layer"),
        ({"trees": 10**9}, "1,000,000,000 trees of up to 71 nodes"),
    ],
)
def test_an_impossible_plan_is_refused_before_training(head, given, says):
    with pytest.raises(SettingsError, match=says):
        find_or_create_job(head.workspace, "head-and-forest", {"dataset": "pocket", "cache": "pocket"} | given)


# --- the average ------------------------------------------------------------------------------------------------------


def test_an_average_is_the_mean_for_each_image_and_has_seen_all_their_patients(head, forest):
    run = finish_run(average_run(head, forest))
    for split in ("val", "test"):
        ours, one, other = (read_predictions(each.predictions_file(split)) for each in (run, head, forest))
        assert (ours["prob"] == (one["prob"] + other["prob"]) / 2).all()
    val = read_predictions(run.predictions_file("val"))
    assert run.read_status().result["threshold"] == find_youden_threshold(
        val["label"].to_numpy(), val["prob"].to_numpy()
    )
    assert len(run.read_environment()["patients_seen"]) == PATIENTS["train"] + PATIENTS["val"]


def test_models_of_different_splits_are_not_averaged(head, forest):
    workspace = head.workspace
    make_small_dataset(workspace, "moved")

    def moved(manifest):
        return manifest.assign(split=manifest["split"].mask(manifest["patient_id"] == "P_train00", "val"))

    rewrite_manifest(workspace, moved, "moved")
    other = finish_run(head_run(workspace, dataset="moved", cache="moved", epochs=1))
    said = refused(average_run(head, other))
    assert f"{other.id} and {head.id} have different protocols" in said


def test_an_average_needs_two_models(head):
    with pytest.raises(SettingsError, match="at least two models"):
        average_run(head, head)


def test_shared_parameters_count_once_in_an_average(head, forest):
    dense = finish_run(forest_run(head, embedding="dense128"))
    nodes = [sum(tree.tree_.node_count for tree in load_learner(_file(run), width).estimators_)
             for run, width in ((forest, 96), (dense, 16))]  # fmt: skip
    one, two, three = (
        finish_run(average_run(*runs)) for runs in ((head, forest), (forest, dense), (head, forest, dense))
    )
    of_head = head.read_status().result["parameters"]
    assert one.read_status().result["parameters"] == of_head + nodes[0]
    assert two.read_status().result["parameters"] == of_head - 17 + sum(nodes), (
        "the last layer has 16 weights and a bias"
    )
    assert three.read_status().result["parameters"] == of_head + sum(nodes)
    own = [run.read_status().seconds / 60 for run in (head, forest, dense, two)]
    assert measure_minutes_of_work(forest) == pytest.approx(own[0] + own[1]), "with those of its network"
    assert open_trained_model(two).minutes == pytest.approx(sum(own))
    assert open_trained_model(three).minutes == pytest.approx(sum(own[:3]) + three.read_status().seconds / 60)
