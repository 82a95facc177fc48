"""Lesion guidance without training: regressions on pooled features and on places become the network's heads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.returned import returned
from tests.training.small_dataset import change_masks, make_small_dataset
from tests.training.small_training import build_training
from tfm.commands.train import Train
from tfm.core.errors import TrainingError
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.metrics.classification import compute_auc
from tfm.models.lesion_guided import score_places
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.fit_lesion_guided import FOLDS, fit_lesion_guided, split_into_folds
from tfm.training.inference import predict_logits
from tfm.training.inputs.samples import Samples, find_samples
from tfm.training.state import Training

GUIDED = {"architecture": "test_resnet", "trained": "none", "max_pooling": True, "lesion_guidance": "stride16"}


@pytest.fixture(scope="module")
def pocket(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("guided") / "workspace")
    make_small_dataset(workspace)
    return workspace


def find_split(workspace: Workspace, split: str) -> Samples:
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    return find_samples(dataset, Cache.open(workspace.cache_folder("pocket")), split)


def build(workspace: Workspace, train: Samples | None = None) -> Training:
    cache = Cache.open(workspace.cache_folder("pocket"))
    settings = resolve(Train, {}, {"dataset": "pocket", "cache": "pocket", "batch_size": 8, "threads": 1} | GUIDED)
    return build_training(settings, cache, train or find_split(workspace, "train"), find_split(workspace, "val"))


def fit(training: Training, folder: Path) -> Training:
    checkpoints = Checkpoints(folder, seconds=60, key="a key")
    for _ in fit_lesion_guided(training, checkpoints, folder / "metrics.csv", folder / "features"):
        pass
    return training


@pytest.fixture(scope="module")
def fitted(pocket, tmp_path_factory):
    """The first weights, the fitted training and its folder."""
    training, folder = build(pocket), tmp_path_factory.mktemp("fitted")
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    return before, fit(training, folder), folder


def test_only_the_three_regressions_change(fitted):
    before, training, folder = fitted
    after = read_checkpoint(folder / "best.pt")["network"]
    heads = ("encoder.fc", "places", "joint")
    changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    assert sorted(changed) == sorted(f"{head}.{kind}" for head in heads for kind in ("weight", "bias"))
    assert all(torch.equal(tensor, after[name]) for name, tensor in training.network.state_dict().items())


def test_network_predicts_what_was_chosen_on_validation(fitted):
    _, training, folder = fitted
    logits = returned(predict_logits(training.task, training.network, training.val, 8, "val"))[:, 0].numpy()
    metrics = pd.read_csv(folder / "metrics.csv")
    assert compute_auc(training.val.samples.labels, logits) == metrics["val_auc"].max()
    assert metrics["val_auc"].max() > 0.8


def test_place_head_finds_the_lesions_of_unseen_images(fitted):
    _, training, _ = fitted
    lesions = training.val.load_targets(np.arange(16), ["lesions"])["lesions"]
    with torch.inference_mode():
        _, places = training.network.eval().locate(training.val.load(np.arange(16)))
    lesion = (1 - places.softmax(1)[:, 0]).flatten(1)
    covered = torch.nn.functional.interpolate((lesions > 0).float(), places.shape[-2:], mode="area").flatten(1)
    highest = covered.gather(1, lesion.argmax(1, keepdim=True))
    assert (highest > 0).float().mean() > 0.8


def test_scores_that_are_joined_come_from_other_patients(fitted):
    """The score of each training image is that of a place head that has not seen its patient."""
    _, training, folder = fitted
    folds = split_into_folds(training.train.samples, training.recipe.seed)
    joined = np.concatenate([np.load(folder / "features" / f"places{fold}.npy") for fold in range(FOLDS)])
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in range(FOLDS)])
    with torch.inference_mode():
        _, places = training.network.eval().locate(training.train.load(order))
    assert not np.isclose(joined, score_places(places).numpy(), rtol=1e-3).any()


def test_folds_keep_patients_together_and_show_both_labels(pocket):
    train = find_split(pocket, "train")
    folds = split_into_folds(train, 7)
    assert set(folds) == set(range(FOLDS))
    assert (train.table.assign(fold=folds).groupby("patient_id")["fold"].nunique() == 1).all()
    for fold in range(FOLDS):
        assert set(train.labels[folds == fold]) == {0, 1}
    assert np.array_equal(split_into_folds(train.select(np.arange(36)[::-1]), 7), folds[::-1])
    assert not np.array_equal(split_into_folds(train, 8), folds)


def test_too_few_patients_for_two_folds_are_refused_in_words(pocket, tmp_path):
    train = find_split(pocket, "train")
    benign = sorted(set(train.table["patient_id"][train.labels == 0]))
    one_malignant = train.table["patient_id"].isin([*benign, train.table["patient_id"][train.labels == 1].iloc[0]])
    with pytest.raises(TrainingError, match="1 training patients have a malignant image and 9 have none") as refusal:
        fit(build(pocket, train.select(one_malignant.to_numpy())), tmp_path)
    assert "lesion_guidance" in refusal.value.hint


def test_masks_without_a_malignant_lesion_are_refused_in_words(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    make_small_dataset(workspace)
    change_masks(workspace, lambda _, mask: np.where(mask > 0, encode_mask_class("mass", "BENIGN"), 0))
    with pytest.raises(TrainingError, match="show no malignant place"):
        fit(build(workspace), tmp_path)
