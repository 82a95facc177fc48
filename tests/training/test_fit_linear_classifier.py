"""Only pretrained weights: a regression on frozen features becomes the network's classifier."""

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.returned import returned
from tests.training.small_dataset import make_small_dataset
from tests.training.small_training import build_training
from tfm.commands.train import Train
from tfm.core.errors import SettingsError, TrainingError
from tfm.core.events import Metrics, Progress
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.metrics import classification
from tfm.metrics.classification import compute_auc
from tfm.models.head import find_last_layer
from tfm.training import fit_linear_classifier as probing
from tfm.training import frozen_features as features_kept
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.fit_linear_classifier import PENALTIES, fit_linear_probe, fit_regression
from tfm.training.frozen_features import extract_features
from tfm.training.inference import predict_logits
from tfm.training.inputs.samples import Samples, find_samples
from tfm.training.state import Training

BATCH = 8


def build_probe_training(workspace: Workspace, balance: str = "weights", train: Samples | None = None) -> Training:
    torch.set_num_threads(1)
    dataset, cache = Dataset.open(workspace.dataset_folder("pocket")), Cache.open(workspace.cache_folder("pocket"))
    given = {"architecture": "test_resnet", "trained": "none", "batch_size": BATCH, "balance": balance}
    settings = resolve(Train, {}, {"dataset": "pocket", "cache": "pocket"} | given)
    return build_training(
        settings, cache, train or find_samples(dataset, cache, "train"), find_samples(dataset, cache, "val")
    )


def run_probe(training: Training, folder: Path):
    folder.mkdir(exist_ok=True)
    return fit_linear_probe(
        training, Checkpoints(folder, seconds=60, key="a key"), folder / "metrics.csv", folder / "features"
    )


def read_results(folder: Path) -> dict[str, bytes]:
    """Read the bytes of every file, and of the tensors of the best checkpoint."""
    names = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"}
    tensors = read_checkpoint(folder / "best.pt")["network"]
    return names | {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def pocket(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("probe") / "workspace")
    make_small_dataset(workspace)
    return workspace


@pytest.fixture(scope="module")
def undisturbed(pocket, tmp_path_factory):
    """An undisturbed training, its events, its folder and its first weights."""
    folder, training = tmp_path_factory.mktemp("calm"), build_probe_training(pocket)
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    return training, list(run_probe(training, folder)), folder, before


def test_only_the_classifier_changes(undisturbed):
    training, _, folder, before = undisturbed
    after = read_checkpoint(folder / "best.pt")["network"]
    assert [name for name, tensor in after.items() if not torch.equal(tensor, before[name])] == ["fc.weight", "fc.bias"]
    assert all(torch.equal(tensor, after[name]) for name, tensor in training.network.state_dict().items())


def test_network_gives_the_logits_of_the_regression(undisturbed):
    training, _, folder, _ = undisturbed
    answers = returned(predict_logits(training.task, training.network, training.val, BATCH, "val"))
    metrics = pd.read_csv(folder / "metrics.csv")
    labels = training.val.samples.labels
    assert compute_auc(labels, answers[:, 0].numpy()) == metrics["val_auc"].max()
    chosen = metrics["C"][metrics["val_auc"].idxmax()]
    regression = fit_regression(np.load(folder / "features" / "train.npy"), training.train.samples.labels, chosen, 1.0)
    expected = regression.predict_logits(np.load(folder / "features" / "val.npy"))
    np.testing.assert_allclose(answers[:, 0].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_discs_and_stars_are_separated_and_every_penalty_has_a_row(undisturbed):
    _, events, folder, _ = undisturbed
    metrics = pd.read_csv(folder / "metrics.csv")
    assert list(metrics.columns) == [
        *("C", "train_loss", "train_accuracy", "train_auc", "val_loss", "val_accuracy", "val_auc")
    ]
    assert tuple(metrics["C"]) == PENALTIES
    assert metrics["train_loss"].is_monotonic_decreasing
    assert metrics["val_auc"].max() > 0.8
    assert [event.values["C"] for event in events if isinstance(event, Metrics)] == list(PENALTIES)
    names = {event.name for event in events if isinstance(event, Progress)}
    assert names == {"features of training", "features of validation", "regression"}


def test_best_checkpoint_has_the_keys_of_the_loops(undisturbed):
    training, _, folder, _ = undisturbed
    assert read_checkpoint(folder / "best.pt").keys() - {"run"} == training.best_state_dict().keys()


def die_in_the_middle_of_a_write(number: int) -> None:
    """Write after each batch, and kill this process when half of the n-th write is on the disk."""
    whole, writes = features_kept.write_all, iter(range(1, 100))

    def write(file, content):
        if next(writes) == number:
            file.write(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(file, content)

    features_kept.write_all, features_kept.SECONDS_BETWEEN_WRITES = write, 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to be killed at an instant")
def test_probe_killed_in_the_middle_of_a_write_ends_bit_identical(pocket, undisturbed, tmp_path):
    """In the features of the third batch: each batch takes two writes."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            die_in_the_middle_of_a_write(5)
            list(run_probe(build_probe_training(pocket), tmp_path))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    events = list(run_probe(build_probe_training(pocket), tmp_path))
    extracted = [event.done for event in events if isinstance(event, Progress) and event.name == "features of training"]
    assert extracted == [3, 4, 5]
    assert read_results(tmp_path) == read_results(undisturbed[2])


@pytest.mark.parametrize("seconds", [0, 1])
def test_probe_stopped_at_any_event_ends_bit_identical(pocket, undisturbed, tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(features_kept, "SECONDS_BETWEEN_WRITES", seconds)
    for count in range(1, len(undisturbed[1]), 4):
        generator = run_probe(build_probe_training(pocket), tmp_path)
        for _ in range(count):
            next(generator, None)
        generator.close()
    list(run_probe(build_probe_training(pocket), tmp_path))
    assert read_results(tmp_path) == read_results(undisturbed[2])


def test_comparison_notices_features_that_were_not_written(pocket, undisturbed, tmp_path):
    """A batch is marked as done whose features are missing."""
    generator = run_probe(build_probe_training(pocket), tmp_path)
    next(generator)
    generator.close()
    (tmp_path / "features" / "train.done").write_bytes(b"\1\1")
    list(run_probe(build_probe_training(pocket), tmp_path))
    assert read_results(tmp_path) != read_results(undisturbed[2])


def test_sampling_is_refused_for_a_regression_without_epochs(pocket):
    with pytest.raises(SettingsError, match="no epochs") as refusal:
        build_probe_training(pocket, balance="sampling")
    assert refusal.value.fields == ("balance",)


def make_blobs(count: int = 200, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % 4 == 0).astype(int)
    features = generator.normal(size=(count, 6)) * [1, 10, 0.1, 1, 1, 1] + [5, -3, 0, 0, 0, 0]
    features[:, 0] += labels
    features[:, 3] = 2.5  # constant
    return features.astype(np.float32), labels


def test_fit_is_the_minimum_of_its_penalised_loss():
    features, labels = make_blobs()
    penalty, weight = 0.3, 3.0
    regression = fit_regression(features, labels, penalty, weight)
    exact = features.astype(np.float64)
    deviation = exact.std(axis=0)
    varies = deviation > 0
    scaled = (exact - exact.mean(axis=0))[:, varies] / deviation[varies]
    wrong = 1 / (1 + np.exp(-regression.predict_logits(features))) - labels
    wrong *= np.where(labels == 1, weight, 1.0)
    gradient = penalty * scaled.T @ wrong + regression.weights[varies] * deviation[varies]
    assert np.abs(gradient).max() < 1e-3
    assert abs(wrong.sum()) < 1e-3
    assert regression.weights[3] == 0


def test_scaling_a_feature_does_not_change_predictions():
    features, labels = make_blobs()
    larger = features * np.array([1, 1000, 1, 1, 1, 1], np.float32)
    one, other = (fit_regression(given, labels, 1.0, 1.0).predict_logits(given) for given in (features, larger))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_fit_without_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(probing, "MAX_ITERATIONS", 1)
    with pytest.raises(TrainingError, match="did not converge") as refusal:
        fit_regression(*make_blobs(), 10.0, 1.0)
    assert "trained=last_stage" in refusal.value.hint


def test_stronger_penalty_wins_at_equal_validation(pocket, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "compute_auc", lambda labels, scores: 0.75)
    training = build_probe_training(pocket)
    list(run_probe(training, tmp_path))
    regression = fit_regression(
        np.load(tmp_path / "features" / "train.npy"), training.train.samples.labels, PENALTIES[0], 1.0
    )
    weight = training.network.fc.weight.detach().numpy()[0]
    np.testing.assert_array_equal(weight, regression.weights.astype(np.float32))


def test_validation_labels_only_choose_the_penalty(pocket, tmp_path):
    training = build_probe_training(pocket)
    turned = training.val.samples.table.assign(label=1 - training.val.samples.labels)
    rows = type(training.val.samples)(turned, training.val.samples.positions)
    training.val = replace(training.val, samples=rows)
    list(run_probe(training, tmp_path))
    labels, features = training.train.samples.labels, np.load(tmp_path / "features" / "train.npy")
    candidates = [fit_regression(features, labels, penalty, 1.0).weights.astype(np.float32) for penalty in PENALTIES]
    weight = training.network.fc.weight.detach().numpy()[0]
    assert any(np.array_equal(weight, candidate) for candidate in candidates)


@pytest.mark.parametrize(("balance", "weight"), [("weights", 2.0), ("none", 1.0)])
def test_balance_weighs_the_rarer_class(pocket, tmp_path, balance, weight):
    rows = build_probe_training(pocket).train.samples
    kept = np.sort(np.r_[np.flatnonzero(rows.labels == 0), np.flatnonzero(rows.labels == 1)[::2]])
    fewer = type(rows)(rows.table.iloc[kept].reset_index(drop=True), rows.positions[kept])
    training = build_probe_training(pocket, balance, fewer)
    list(run_probe(training, tmp_path))
    features = np.load(tmp_path / "features" / "train.npy")
    candidates = [
        fit_regression(features, fewer.labels, penalty, weight).weights.astype(np.float32) for penalty in PENALTIES
    ]
    learned = training.network.fc.weight.detach().numpy()[0]
    assert any(np.array_equal(learned, candidate) for candidate in candidates)


def test_features_that_are_not_finite_are_an_error(pocket, tmp_path):
    training = build_probe_training(pocket)
    with torch.no_grad():
        training.network.conv1[0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        list(run_probe(training, tmp_path))


def test_features_are_the_input_of_the_classifier_without_dropout(pocket, tmp_path):
    training = build_probe_training(pocket)
    layer = find_last_layer(training.network)
    features = returned(
        extract_features(training.network, layer, training.val, BATCH, tmp_path / "val.npy", name="features")
    )
    with torch.inference_mode():
        again = layer(torch.from_numpy(features))
    direct = returned(predict_logits(training.task, training.network, training.val, BATCH, "val"))
    torch.testing.assert_close(again, direct)
    assert not training.network.training


def test_network_without_a_linear_classifier_is_refused():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    network.pretrained_cfg = {"classifier": "0"}
    with pytest.raises(SettingsError, match="linear classifier") as refusal:
        find_last_layer(network)
    assert refusal.value.fields == ("trained", "head")
