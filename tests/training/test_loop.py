"""The loop's options do what they are called, each on a small network; and it serves another task as it is."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from tests.returned import returned
from tests.training.small_training import SmallTrainings, start_training, take_steps, train_to_end
from tfm.core.errors import HaltedError, TrainingError
from tfm.core.events import CurrentValues, Note, Progress
from tfm.models.head import find_last_layer
from tfm.training import augment, loop, monitor
from tfm.training.checkpoint import read_checkpoint
from tfm.training.frozen_features import extract_features
from tfm.training.inference import predict_logits
from tfm.training.optimizer import make_optimizer


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def linear(training):
    """The training of a network that looks at each image by itself: no batch statistics, no dropout."""
    torch.manual_seed(3)
    training.network = training.compiled_network = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 1))
    training.optimizer = make_optimizer(training.network, training.recipe.optimizer)
    return training


def weights(network):
    return torch.cat([tensor.detach().flatten() for tensor in network.parameters()])


def test_accumulated_batches_make_the_step_of_one_large_batch(trainings):
    whole = linear(trainings.make({"batch_size": 8}))
    parts = linear(trainings.make({"batch_size": 3, "accumulate": 3}))
    before = weights(whole.network)
    for training in (whole, parts):
        train_to_end(training, trainings.new_folder())
        assert training.state.step == 2
    assert torch.allclose(weights(whole.network), weights(parts.network), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(weights(whole.network), before, rtol=1e-4, atol=1e-6)
    for column in ("train_loss", "val_loss"):
        assert whole.state.rows[1][column] == pytest.approx(parts.state.rows[1][column], rel=1e-4)


def test_a_step_of_uneven_batches_weighs_each_image_alike(trainings, monkeypatch):
    """The sum over all images by the number of all images, not a mean of means."""
    monkeypatch.setattr(
        loop, "split_evenly", lambda places, size: [places[:1], places[1:]] if len(places) > 1 else [places]
    )
    uneven = linear(trainings.make({"batch_size": 8}))
    loop.train_step(uneven, np.arange(8), augment.draw_table(7, 0, 8), 1)
    monkeypatch.undo()
    whole = linear(trainings.make({"batch_size": 8}))
    loop.train_step(whole, np.arange(8), augment.draw_table(7, 0, 8), 1)
    assert torch.allclose(weights(uneven.network), weights(whole.network), rtol=1e-4, atol=1e-6)


def test_a_long_gradient_is_shortened_to_the_norm_that_was_chosen(trainings):
    moved = {}
    for clip in (None, 1e-3):
        training = linear(trainings.make({"gradient_clip": clip, "weight_decay": 0, "warmup_epochs": 0}))
        training.optimizer = torch.optim.SGD(training.network.parameters())
        before = weights(training.network)
        take_steps(training, trainings.new_folder())
        moved[clip] = float(torch.linalg.vector_norm(weights(training.network) - before))
    assert moved[1e-3] == pytest.approx(2e-3 * 1e-3, rel=0.01)
    assert moved[None] > 10 * moved[1e-3]


def test_the_average_of_the_weights_is_validated_kept_as_best_and_predicted_with(trainings):
    training, folder = trainings.make({"ema": 0.5}), trainings.new_folder()
    by_hand, seen = [], []
    for event in start_training(training, folder):
        if getattr(event, "name", "") == "step":
            seen.append(weights(training.network))
            decay = min(1 - 1 / len(seen), 0.5)
            by_hand.append(seen[-1] if len(seen) == 1 else decay * by_hand[-1] + (1 - decay) * seen[-1])
    assert torch.allclose(weights(training.evaluated_network), by_hand[-1], atol=1e-6)
    assert not torch.allclose(weights(training.network), by_hand[-1], atol=1e-6)
    best, last = read_checkpoint(folder / "best.pt"), read_checkpoint(folder / "last.pt")
    again = trainings.make()
    again.evaluated_network.load_state_dict(best["network"])
    steps = best["standing"]["step"]
    assert steps in (2, 4), "at the end of an epoch"
    assert torch.allclose(weights(again.evaluated_network), by_hand[steps - 1], atol=1e-6)
    assert not torch.allclose(weights(again.evaluated_network), seen[steps - 1], atol=1e-6)
    assert best["network"].keys() == last["ema"].keys() == last["network"].keys()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_the_bits_learn_too_and_the_weights_stay_whole(trainings, precision):
    halved = train_to_end(trainings.make({"precision": precision}), trainings.new_folder())
    whole = train_to_end(trainings.make(), trainings.new_folder())
    assert weights(halved.network).dtype == torch.float32
    losses = [[row["train_loss"] for row in training.state.rows] for training in (halved, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert losses[0] != losses[1]


def test_a_step_whose_gradient_was_enlarged_too_far_is_left_out_and_the_next_is_enlarged_less(trainings):
    training = trainings.make({"precision": "fp16"})
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = weights(training.network)
    take_steps(training, trainings.new_folder())
    assert torch.equal(weights(training.network), before)
    assert training.scaler.get_scale() == 2.0**59


def test_a_loss_that_is_no_number_is_one_in_fp16_too(trainings):
    training = trainings.make({"precision": "fp16"})
    with torch.no_grad():
        next(training.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="not a finite number at step 1"):
        take_steps(training, trainings.new_folder())


def test_balanced_sampling_learns_from_as_many_of_each(trainings, monkeypatch):
    training = trainings.make({"balance": "sampling"})
    benign_first = training.train.samples.table.sort_values("label").iloc[:5].index
    training.train = replace(training.train, samples=training.train.samples.select(benign_first.to_numpy()))
    labels = []

    def listening(self, network, batch):
        labels.append(batch.targets["labels"])
        said = network(batch.images)
        return said.sum(), said

    monkeypatch.setattr(type(training.task), "loss", listening)
    take_steps(training, trainings.new_folder(), 2)
    assert len(set(training.train.samples.labels)) == 2
    assert training.train.samples.labels.sum() == 1
    assert torch.cat(labels).sum() == 3, "of five"
    assert training.task.malignant_weight == 1.0


class Silhouette:
    """Learns how much of an image is breast: what another task may need, and how it is told."""

    needs = frozenset({"breast", "lesions"})
    draws = 2
    columns = ("train_error", "val_error", "val_score")
    best = "val_score"

    def __init__(self):
        self.seen = []

    def start_step(self, network):
        pass

    def loss(self, network, batch):
        self.seen.append(batch)
        errors = self.predict(network, batch)
        return errors.sum(), errors

    def predict(self, network, batch):
        return (network(batch.images) - batch.targets["breast"].float().mean((1, 2, 3))[:, None]).abs()

    def compute_train_metrics(self, answers, labels):
        return {"train_error": float(answers.mean())}

    def compute_val_metrics(self, answers, labels):
        error = float(answers.mean())
        return {"val_error": error, "val_score": -error}

    def state_dict(self):
        return {"batches": torch.tensor(len(self.seen))}

    def load_state_dict(self, state):
        self.taken_up = int(state["batches"])


def test_another_task_is_served_with_the_masks_it_needs_moved_as_their_images_are(trainings):
    training, folder = linear(trainings.make()), trainings.new_folder()
    training.task = Silhouette()
    train_to_end(training, folder)
    assert list(pd.read_csv(folder / "metrics.csv").columns)[3:] == ["train_error", "val_error", "val_score"]
    assert all(row["train_error"] == pytest.approx(row["train_loss"]) for row in training.state.rows)
    assert training.state.best == max(row["val_score"] for row in training.state.rows)
    dark = -training.train.normalisation.mean / training.train.normalisation.deviation
    resumed = linear(trainings.make())
    resumed.task = Silhouette()
    train_to_end(resumed, folder)
    assert resumed.task.taken_up == len(training.task.seen) == 4, "what a task gathers goes into the checkpoint"
    for batch in training.task.seen:
        assert batch.targets.keys() == {"breast", "lesions"}
        inside = batch.targets["breast"] > 0
        assert set(batch.targets["breast"].unique().tolist()) <= {0, 1}
        for place, black in ((~inside, True), (inside, False)):  # but for a rim of half pixels
            assert float(((batch.images[place] == dark) == black).float().mean()) > 0.92


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_figures_of_training_are_those_of_what_the_network_answered_at_its_own_steps(trainings, monkeypatch, balance):
    """Of augmented images, with dropout, and of each as often as it was taken."""
    training = trainings.make({"balance": balance, "dropout": 0.5})
    said, labels = [], []
    loss = type(training.task).loss

    def listening(task, network, batch):
        told = loss(task, network, batch)
        said.append(told[1].detach()[:, 0])
        labels.append(batch.targets["labels"])
        return told

    monkeypatch.setattr(type(training.task), "loss", listening)
    train_to_end(training, trainings.new_folder())
    for row, steps in zip(training.state.rows, (slice(0, 2), slice(2, 4)), strict=True):
        probs, truth = torch.sigmoid(torch.cat(said[steps])), torch.cat(labels[steps])
        assert row["train_auc"] == roc_auc_score(truth, probs)
        assert row["train_accuracy"] == float(((probs >= 0.5) == (truth == 1)).float().mean())


def test_what_is_drawn_for_an_image_is_its_own_in_any_batch_and_another_in_each_epoch(trainings):
    drawn = {}
    for size in (4, 3):
        training = linear(trainings.make({"batch_size": size}))
        training.task = Silhouette()
        train_to_end(training, trainings.new_folder())
        drawn[size] = np.concatenate([batch.draws for batch in training.task.seen])
    assert np.array_equal(drawn[4], drawn[3])
    assert drawn[4].shape == (2 * len(training.train.samples), 2)
    assert len(np.unique(drawn[4])) == drawn[4].size
    assert ((drawn[4] >= 0) & (drawn[4] < 1)).all()


def test_a_mirrored_image_is_asked_about_too(trainings):
    training = trainings.make()
    said = {}
    for name, images, tta in [("plain", training.val, False), ("both", training.val, True)]:
        said[name] = returned(predict_logits(training.task, training.network, images, 4, name, tta=tta))
    mirrored = replace(training.val, cache=replace(trainings.cache, images=trainings.cache.images[:, :, ::-1].copy()))
    other = returned(predict_logits(training.task, training.network, mirrored, 4, "mirrored"))
    assert torch.allclose(said["both"], (said["plain"] + other) / 2, atol=1e-6)
    assert not torch.allclose(said["both"], said["plain"], atol=1e-6)


def test_a_checkpoint_of_another_network_is_refused_in_words(trainings):
    folder = trainings.new_folder()
    train_to_end(trainings.make({"epochs": 1}), folder)
    other = trainings.make({"architecture": "MammoCNN", "epochs": 2})
    with pytest.raises(TrainingError, match="does not fit this training of MammoCNN") as refusal:
        train_to_end(other, folder)
    assert "restart" in refusal.value.hint


def test_a_watcher_hears_of_pace_best_and_checkpoint(trainings, monkeypatch):
    monkeypatch.setattr(monitor, "SECONDS_BETWEEN_READINGS", 0)
    training = trainings.make({"epochs": 2})
    told = [
        event.values for event in start_training(training, trainings.new_folder()) if isinstance(event, CurrentValues)
    ]
    assert any(float(values["images/s"]) > 0 for values in told if "images/s" in values)
    assert "best so far" not in told[0]
    assert told[-1]["best so far"].startswith(f"val auc {training.state.best:.3f} (epoch ")
    assert len(told[-1]["last checkpoint"].split(":")) == 3


def test_channels_last_reaches_the_layers(trainings):
    training = trainings.make({"channels_last": True})
    take_steps(training, trainings.new_folder())
    filters = [tensor for tensor in training.network.parameters() if tensor.ndim == 4 and tensor.shape[1] > 1]
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in filters)


@pytest.mark.long
def test_a_compiled_network_learns_the_same(trainings):
    plain = train_to_end(trainings.make(), trainings.new_folder())
    compiled = train_to_end(trainings.make({"compile": True}), trainings.new_folder())
    assert [row["train_loss"] for row in compiled.state.rows] == pytest.approx(
        [row["train_loss"] for row in plain.state.rows], rel=1e-3
    )
    assert compiled.state_dict()["network"].keys() == plain.state_dict()["network"].keys()


def test_what_cannot_be_repeated_to_the_bit_is_told_by_name_with_a_way_out(trainings, monkeypatch):
    training = trainings.make()
    unpool = functools.partial(nn.functional.max_unpool2d, torch.rand(1, 2, 2), torch.arange(4).view(1, 2, 2), 2)
    monkeypatch.setattr(type(training.task), "loss", lambda *_: unpool())
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(TrainingError, match=r"needs max_unpool.*, which cpu cannot compute") as refusal:
            train_to_end(training, trainings.new_folder())
    finally:
        torch.use_deterministic_algorithms(before)
    assert "deterministic=false" in refusal.value.hint


def too_large(*_):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")


@pytest.mark.parametrize("where", ["loss", "predict"])
def test_memory_that_is_too_small_is_told_with_a_way_out_in_a_step_and_in_validation(trainings, monkeypatch, where):
    training = trainings.make()
    monkeypatch.setattr(type(training.task), where, too_large)
    with pytest.raises(TrainingError, match="memory of cpu is too small for batches of 4") as refusal:
        train_to_end(training, trainings.new_folder())
    assert "setting: accumulate" in refusal.value.hint


@pytest.mark.parametrize(
    ("said", "error"), [("CUDA error: out of memory", TrainingError), ("CUDA error: device lost", HaltedError)]
)
def test_a_gpu_that_fails_halts_a_run_and_one_that_is_too_small_fails_it(trainings, monkeypatch, said, error):
    def failing(*_):
        raise RuntimeError(f"{said}\nCUDA kernel errors might be reported elsewhere")

    training = trainings.make()
    monkeypatch.setattr(type(training.task), "loss", failing)
    with pytest.raises(error):
        train_to_end(training, trainings.new_folder())


def test_memory_that_is_too_small_is_told_with_a_way_out_in_prediction_and_for_features(trainings):
    training = trainings.make()
    training.network.forward_features = too_large
    for asking in (
        predict_logits(training.task, training.network, training.val, 4, "predicting test"),
        extract_features(
            training.network,
            find_last_layer(training.network),
            training.val,
            4,
            trainings.new_folder() / "val.npy",
            name="features",
        ),
    ):
        with pytest.raises(TrainingError, match="memory of cpu is too small for batches of 4"):
            returned(asking)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, None),
        ({"warmup_epochs": 3}, "the warm-up of 3 epochs is longer than the whole training of 2"),
        ({"batch_size": 9}, "batch size is 9"),
        ({"precision": "fp16"}, "on a CPU, fp16"),
    ],
)
def test_what_is_hardly_meant_is_told_before_the_first_step(trainings, given, says):
    told = []
    for event in start_training(trainings.make(given), trainings.new_folder()):
        if isinstance(event, Progress):
            break
        told += [event.text] if isinstance(event, Note) else []
    assert [says in text for text in told] == ([] if says is None else [True])
