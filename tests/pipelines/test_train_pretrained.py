"""Trainings from real ImageNet weights, whose images are normalised as the weights' own were."""

import numpy as np
import pytest
import timm
import torch

from tests.training.results import list_differences
from tests.training.small_dataset import (
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
    stop_after_steps,
)
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.models.efficientnet_pytorch_to_timm_names import convert_to_timm
from tfm.models.settings import ModelSettings
from tfm.models.weights import fetch_weights, read_weights
from tfm.training.checkpoint import read_checkpoint
from tfm.training.inputs.training_data import TrainingData

QUICK = {"weights": "imagenet", "augment": False}  # the other settings are those of every quick run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("pretrained") / "workspace")
    make_small_dataset(workspace)
    return workspace


@pytest.fixture(scope="module")
def tuned(workspace):
    return finish_run(make_train_run(workspace, "EfficientNetLite0_CFT", **QUICK))


def compute_timms_features(images: np.ndarray) -> np.ndarray:  # (n, H, W) uint8 → (n, 1280)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    weights = fetch_weights(ModelSettings(architecture="tf_efficientnet_lite0", weights="imagenet"))
    network.load_state_dict(convert_to_timm(read_weights(weights), list(network.state_dict())))
    network.to(memory_format=torch.channels_last)  # as the preset has it: other layouts round differently
    colours = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1) / 255
    with torch.inference_mode():
        return network.forward_head(network.forward_features((colours - 0.5) / 0.5), pre_logits=True).numpy()


def test_a_regression_is_fitted_on_the_features_that_timm_computes(workspace):
    known = {"dataset": "pocket", "cache": "pocket", "threads": 1, "device": "cpu", "max_pooling": False}
    run = finish_run(find_or_create_job(workspace, "train", known, ["EfficientNetLite0_OPW"]))
    train = TrainingData.open(workspace, "pocket", "pocket").train
    images = Cache.open(workspace.cache_folder("pocket")).images[train.positions]
    features = np.load(run.checkpoints_folder / "train.npy")
    np.testing.assert_allclose(features, compute_timms_features(images), rtol=1e-5, atol=1e-5)


def test_a_stopped_fine_tuning_ends_as_an_undisturbed_one(tuned, workspace, tmp_path):
    other = Workspace(tmp_path / "workspace")
    make_small_dataset(other)
    stopped = make_train_run(other, "EfficientNetLite0_CFT", **QUICK)
    stop_after_steps(stopped, 3)
    assert list_differences(finish_run(stopped), tuned) == []


def test_a_fine_tuned_network_is_explained_and_gives_its_weights_to_another_run(tuned, workspace):
    finish_run(find_or_create_job(workspace, "explain", {"run": tuned.id, "pictures": 3, "device": "cpu"}))
    make_small_dataset(workspace, "others")
    rewrite_manifest(workspace, lambda table: table.assign(patient_id="other_" + table["patient_id"]), "others")
    given = {"dataset": "others", "cache": "others", "weights": f"run:{tuned.id}", "trained": "head", "epochs": 1}
    heir = finish_run(make_train_run(workspace, "EfficientNetLite0_CFT", **QUICK | given))
    before, after = (read_checkpoint(run.checkpoints_folder / "best.pt")["network"] for run in (tuned, heir))
    assert after["conv_stem.weight"].shape[1] == 3
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert [name for name in moved if not name.endswith("num_batches_tracked")] == [
        "classifier.weight",
        "classifier.bias",
    ]
    normalisation = {"mean": 0.5, "deviation": 0.5, "colours": [[0.5, 0.5]] * 3}
    assert [run.read_environment()["normalisation"] for run in (tuned, heir)] == [normalisation, normalisation]
