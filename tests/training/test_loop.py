"""The training loop: each option on a small network, and a task of another kind."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.training.small_training import (
    BreastAreaTask,
    SmallTrainings,
    start_training,
    take_steps,
    train_to_end,
    use_linear_network,
)
from tfm.core.errors import TrainingError
from tfm.core.events import Note, Progress
from tfm.training import augment, loop
from tfm.training.checkpoint import read_checkpoint


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def flatten_weights(network):
    return torch.cat([tensor.detach().flatten() for tensor in network.parameters()])


def test_accumulated_batches_equal_one_large_batch(trainings):
    whole = use_linear_network(trainings.make({"batch_size": 8}))
    parts = use_linear_network(trainings.make({"batch_size": 3, "accumulate": 3}))
    before = flatten_weights(whole.network)
    for training in (whole, parts):
        train_to_end(training, trainings.new_folder())
        assert training.state.step == 2
    assert torch.allclose(flatten_weights(whole.network), flatten_weights(parts.network), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(flatten_weights(whole.network), before, rtol=1e-4, atol=1e-6)
    for column in ("train_loss", "val_loss"):
        assert whole.state.rows[1][column] == pytest.approx(parts.state.rows[1][column], rel=1e-4)


def test_images_of_uneven_batches_weigh_the_same(trainings, monkeypatch):
    """The loss is the mean over all images of the step, not a mean of the means of its batches."""
    monkeypatch.setattr(
        loop, "split_evenly", lambda places, size: [places[:1], places[1:]] if len(places) > 1 else [places]
    )
    uneven = use_linear_network(trainings.make({"batch_size": 8}))
    loop.train_step(uneven, np.arange(8), augment.draw_table(7, 0, 8), 1)
    monkeypatch.undo()
    whole = use_linear_network(trainings.make({"batch_size": 8}))
    loop.train_step(whole, np.arange(8), augment.draw_table(7, 0, 8), 1)
    assert torch.allclose(flatten_weights(uneven.network), flatten_weights(whole.network), rtol=1e-4, atol=1e-6)


def test_gradient_is_clipped_to_the_chosen_norm(trainings):
    moved = {}
    for clip in (None, 1e-3):
        training = use_linear_network(trainings.make({"gradient_clip": clip, "weight_decay": 0, "warmup_epochs": 0}))
        training.optimizer = torch.optim.SGD(training.network.parameters())
        before = flatten_weights(training.network)
        take_steps(training, trainings.new_folder())
        moved[clip] = float(torch.linalg.vector_norm(flatten_weights(training.network) - before))
    assert moved[1e-3] == pytest.approx(2e-3 * 1e-3, rel=0.01)
    assert moved[None] > 10 * moved[1e-3]


def test_moving_average_is_validated_saved_as_best_and_used_for_predictions(trainings):
    training, folder = trainings.make({"ema": 0.5}), trainings.new_folder()
    by_hand, seen = [], []
    for event in start_training(training, folder):
        if getattr(event, "name", "") == "step":
            seen.append(flatten_weights(training.network))
            decay = min(1 - 1 / len(seen), 0.5)
            by_hand.append(seen[-1] if len(seen) == 1 else decay * by_hand[-1] + (1 - decay) * seen[-1])
    assert torch.allclose(flatten_weights(training.evaluated_network), by_hand[-1], atol=1e-6)
    assert not torch.allclose(flatten_weights(training.network), by_hand[-1], atol=1e-6)
    best, last = read_checkpoint(folder / "best.pt"), read_checkpoint(folder / "last.pt")
    again = trainings.make()
    again.evaluated_network.load_state_dict(best["network"])
    steps = best["standing"]["step"]
    assert steps in (2, 4), "at the end of an epoch"
    assert torch.allclose(flatten_weights(again.evaluated_network), by_hand[steps - 1], atol=1e-6)
    assert not torch.allclose(flatten_weights(again.evaluated_network), seen[steps - 1], atol=1e-6)
    assert best["network"].keys() == last["ema"].keys() == last["network"].keys()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_and_keeps_weights_in_fp32(trainings, precision):
    halved = train_to_end(trainings.make({"precision": precision}), trainings.new_folder())
    whole = train_to_end(trainings.make(), trainings.new_folder())
    assert flatten_weights(halved.network).dtype == torch.float32
    losses = [[row["train_loss"] for row in training.state.rows] for training in (halved, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert losses[0] != losses[1]


def test_step_with_an_overflowing_scaled_gradient_is_skipped_and_the_scale_halved(trainings):
    training = trainings.make({"precision": "fp16"})
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = flatten_weights(training.network)
    take_steps(training, trainings.new_folder())
    assert torch.equal(flatten_weights(training.network), before)
    assert training.scaler.get_scale() == 2.0**59


def test_nan_loss_is_an_error_in_fp16(trainings):
    training = trainings.make({"precision": "fp16"})
    with torch.no_grad():
        next(training.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="not a finite number at step 1"):
        take_steps(training, trainings.new_folder())


def test_balanced_sampling_trains_on_equally_many_of_each_class(trainings, monkeypatch):
    training = trainings.make({"balance": "sampling"})
    benign_first = training.train.samples.table.sort_values("label").iloc[:5].index
    training.train = replace(training.train, samples=training.train.samples.select(benign_first.to_numpy()))
    labels = []

    def loss_and_record(self, network, batch):
        labels.append(batch.targets["labels"])
        outputs = network(batch.images)
        return outputs.sum(), outputs

    monkeypatch.setattr(type(training.task), "compute_loss", loss_and_record)
    take_steps(training, trainings.new_folder(), 2)
    assert len(set(training.train.samples.labels)) == 2
    assert training.train.samples.labels.sum() == 1
    assert torch.cat(labels).sum() == 3, "of five"
    assert training.task.malignant_weight == 1.0


def test_another_task_gets_its_masks_augmented_like_the_images(trainings):
    training, folder = use_linear_network(trainings.make()), trainings.new_folder()
    training.task = BreastAreaTask()
    train_to_end(training, folder)
    assert list(pd.read_csv(folder / "metrics.csv").columns)[3:] == ["train_error", "val_error", "val_score"]
    assert all(row["train_error"] == pytest.approx(row["train_loss"]) for row in training.state.rows)
    assert training.state.best == max(row["val_score"] for row in training.state.rows)
    dark = -training.train.normalisation.mean / training.train.normalisation.deviation
    resumed = use_linear_network(trainings.make())
    resumed.task = BreastAreaTask()
    train_to_end(resumed, folder)
    assert resumed.task.batches_before == len(training.task.seen) == 4, "the state of a task is part of the checkpoint"
    for batch in training.task.seen:
        assert batch.targets.keys() == {"breast", "lesions"}
        inside = batch.targets["breast"] > 0
        assert set(batch.targets["breast"].unique().tolist()) <= {0, 1}
        for place, black in ((~inside, True), (inside, False)):  # except at the edge, where pixels are interpolated
            assert float(((batch.images[place] == dark) == black).float().mean()) > 0.92


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_training_metrics_come_from_the_outputs_of_training_steps(trainings, monkeypatch, balance):
    """The images are augmented, dropout is active, and repeated images count repeatedly."""
    training = trainings.make({"balance": balance, "dropout": 0.5})
    outputs, labels = [], []
    loss = type(training.task).compute_loss

    def loss_and_record(task, network, batch):
        result = loss(task, network, batch)
        outputs.append(result[1].detach()[:, 0])
        labels.append(batch.targets["labels"])
        return result

    monkeypatch.setattr(type(training.task), "compute_loss", loss_and_record)
    train_to_end(training, trainings.new_folder())
    for row, steps in zip(training.state.rows, (slice(0, 2), slice(2, 4)), strict=True):
        probs, truth = torch.sigmoid(torch.cat(outputs[steps])), torch.cat(labels[steps])
        assert row["train_auc"] == roc_auc_score(truth, probs)
        assert row["train_accuracy"] == float(((probs >= 0.5) == (truth == 1)).float().mean())


def test_draws_of_an_image_do_not_depend_on_its_batch_and_change_each_epoch(trainings):
    draws = {}
    for size in (4, 3):
        training = use_linear_network(trainings.make({"batch_size": size}))
        training.task = BreastAreaTask()
        train_to_end(training, trainings.new_folder())
        draws[size] = np.concatenate([batch.draws for batch in training.task.seen])
    assert np.array_equal(draws[4], draws[3])
    assert draws[4].shape == (2 * len(training.train.samples), 2)
    assert len(np.unique(draws[4])) == draws[4].size
    assert ((draws[4] >= 0) & (draws[4] < 1)).all()


def test_checkpoint_of_another_network_is_refused(trainings):
    folder = trainings.new_folder()
    train_to_end(trainings.make({"epochs": 1}), folder)
    other = trainings.make({"architecture": "MammoCNN", "epochs": 2})
    with pytest.raises(TrainingError, match="does not fit this training of MammoCNN") as refusal:
        train_to_end(other, folder)
    assert "restart" in refusal.value.hint


def test_channels_last_reaches_the_layers(trainings):
    training = trainings.make({"channels_last": True})
    take_steps(training, trainings.new_folder())
    filters = [tensor for tensor in training.network.parameters() if tensor.ndim == 4 and tensor.shape[1] > 1]
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in filters)


@pytest.mark.long
def test_compiled_network_learns_the_same(trainings):
    plain = train_to_end(trainings.make(), trainings.new_folder())
    compiled = train_to_end(trainings.make({"compile": True}), trainings.new_folder())
    assert [row["train_loss"] for row in compiled.state.rows] == pytest.approx(
        [row["train_loss"] for row in plain.state.rows], rel=1e-3
    )
    assert compiled.state_dict()["network"].keys() == plain.state_dict()["network"].keys()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, None),
        ({"warmup_epochs": 3}, "the warm-up of 3 epochs is longer than the whole training of 2"),
        ({"batch_size": 9}, "batch size is 9"),
        ({"precision": "fp16"}, "on a CPU, fp16"),
    ],
)
def test_settings_that_are_probably_unintended_warn_before_the_first_step(trainings, given, says):
    result = []
    for event in start_training(trainings.make(given), trainings.new_folder()):
        if isinstance(event, Progress):
            break
        result += [event.text] if isinstance(event, Note) else []
    assert [says in text for text in result] == ([] if says is None else [True])
