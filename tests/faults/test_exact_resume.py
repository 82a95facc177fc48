"""Stopped or killed trainings end bit-identical: weights, optimizer, moving average, metrics and predictions.

Every preset and every option that keeps state is tested. Whole runs are killed in tests/training/test_loop_runs."""

import itertools

import pytest
import torch

from tests.faults.mishaps import SWIN, make_swin_small, run_until_killed
from tests.returned import returned
from tests.training.results import list_differences, list_unequal, train_with_stops
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.training.small_training import SmallTrainings
from tfm.core.events import Note
from tfm.core.settings import presets
from tfm.training import checkpoint
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.fit_lesion_guided import fit_lesion_guided
from tfm.training.fit_linear_classifier import fit_linear_probe
from tfm.training.inference import predict_logits
from tfm.training.results import flatten_checkpoint

FOUND = {name: presets.load_preset("models", name) for name in presets.list_presets("models")}
PRESETS = {name: preset.settings for name, preset in FOUND.items() if preset.stage == "train"}
SMALL = {"weights": "none", "epochs": 2, "batch_size": 2, "accumulate": 2, "patience": None}
OPTIONS_WITH_STATE = {"ema": 0.9, "gradient_clip": 1.0, "balance": "sampling", "dropout": 0.3}
LONG = (
    "DenseNet121",
    "EfficientNetB3",
    "EfficientNetLite0_CFT",
    "ResNet",
)  # OPTIONS has what they set, on a tiny network
STOPPED_AFTER = 3  # steps, of two an epoch


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def fit_probe_with_stops(trainings, settings, preset, stops=()):
    """Fit a regression on frozen features, stopping after these numbers of batches."""
    folder = trainings.new_folder()

    def fit(training):
        fit_features = fit_lesion_guided if training.recipe.model.settings.stride else fit_linear_probe
        return fit_features(
            training, Checkpoints(folder, seconds=0, key="a key"), folder / "metrics.csv", folder / "features"
        )

    for stop in stops:
        unfinished = fit(trainings.make(settings, preset))
        assert next(event for event in unfinished if event.done == stop).name == "features of training"
        unfinished.close()
    training = trainings.make(settings, preset)
    for _ in fit(training):
        pass
    logits = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val"))
    results = {"metrics": (folder / "metrics.csv").read_bytes(), "predictions": logits.numpy().tobytes()}
    return results | flatten_checkpoint(read_checkpoint(folder / "best.pt"))


def finish_with_stops(trainings, name, settings, stops=()):
    preset = PRESETS[name]
    if preset["model"].get("trained") == "none":
        return fit_probe_with_stops(trainings, {"weights": "none", "batch_size": 2} | settings, preset, stops)
    return train_with_stops(trainings, SMALL | OPTIONS_WITH_STATE | settings, preset, stops)


@pytest.fixture(autouse=True)
def checkpoints_at_each_step(monkeypatch):
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name.startswith(LONG) else ()) for name in PRESETS]
)
def test_every_preset_ends_bit_identical_after_a_stop(trainings, name):
    short = {} if PRESETS[name]["model"].get("trained") == "none" else {"epochs": 1}
    undisturbed = finish_with_stops(trainings, name, short)
    assert list_unequal(undisturbed, finish_with_stops(trainings, name, short, [1])) == []


@pytest.mark.long
@pytest.mark.parametrize(("name", "seed"), list(itertools.product(PRESETS, range(5))))
def test_every_preset_ends_bit_identical_after_stops_at_every_step_for_many_seeds(trainings, name, seed):
    undisturbed = finish_with_stops(trainings, name, {"seed": seed})
    assert list_unequal(undisturbed, finish_with_stops(trainings, name, {"seed": seed}, [1, 2, 3])) == []


TINY = {"architecture": "test_resnet", "weights": "none", "epochs": 2, "batch_size": 4}
OPTIONS = {
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "channels_last": {"channels_last": True, "ema": 0.9},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd"},
    "plain": {"balance": "none", "augment": False},
    "last_stage": {"trained": "last_stage", "dropout": 0.3},
    "head": {"trained": "head", "head": 16, "dropout": 0.3, "optimizer": "adam"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_ends_bit_identical_after_a_stop(trainings, name):
    settings = TINY | OPTIONS[name]
    assert (
        list_unequal(
            train_with_stops(trainings, settings, {}), train_with_stops(trainings, settings, {}, [STOPPED_AFTER])
        )
        == []
    )


def test_swin_ends_bit_identical_after_stops(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    settings = TINY | OPTIONS_WITH_STATE | {"architecture": SWIN}
    assert (
        list_unequal(
            train_with_stops(trainings, settings, {}), train_with_stops(trainings, settings, {}, [1, STOPPED_AFTER])
        )
        == []
    )


@pytest.mark.long
def test_compiled_network_ends_bit_identical_after_stops_whatever_was_compiled_before(trainings, monkeypatch, tmp_path):
    """Also without the compiler's cache. The compiled network gives other bits than the plain one."""
    settings = TINY | {"compile": True, "ema": 0.9, "dropout": 0.3}
    undisturbed = train_with_stops(trainings, settings, {})
    assert not [place for place in undisturbed if "_orig_mod" in place]
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)
    train_with_stops(trainings, settings | {"batch_size": 8, "epochs": 1}, {})
    assert list_unequal(undisturbed, train_with_stops(trainings, settings, {}, [1, STOPPED_AFTER])) == []
    assert list_unequal(undisturbed, train_with_stops(trainings, settings | {"compile": False}, {})) != []


AVERAGED = TINY | {"ema": 0.9, "precision": "fp16"}


@pytest.fixture(scope="module")
def undisturbed_average(trainings):
    return train_with_stops(trainings, AVERAGED, {})


def lose_average(content):
    content["ema"] = content["network"]


def lose_scale(content):
    content["scaler"] = content["scaler"] | {"scale": 2.0**40}


def lose_rows(content):
    content["standing"]["rows"] = []


def lose_best(content):
    content["standing"]["best"] = 2.0


def lose_place_in_the_epoch(content):
    content["standing"]["epoch_step"] = 0
    content["answered"] = content["answered"][:0]


def lose_outputs_so_far(content):
    content["answered"] = -content["answered"]


def lose_weights(content):
    content["network"] = {name: torch.zeros_like(tensor) for name, tensor in content["network"].items()}


def lose_momentum(content):
    for state in content["optimizer"]["state"].values():
        state["exp_avg"].zero_()


def lose_step(content):
    content["standing"]["step"] = 0


def lose_batch_statistics(content):
    name = next(name for name in content["network"] if name.endswith("running_var"))
    content["network"][name].fill_(1)


def lose_loss_so_far(content):
    content["standing"]["loss_sum"] = 0.0


@pytest.mark.parametrize(
    "lose",
    [
        *(lose_average, lose_scale, lose_rows, lose_best),
        *(lose_place_in_the_epoch, lose_outputs_so_far, lose_loss_so_far, lose_step),
        *(lose_weights, lose_momentum, lose_batch_statistics),
    ],
)
def test_comparison_notices_each_lost_piece_of_state(trainings, undisturbed_average, lose):
    assert list_unequal(undisturbed_average, train_with_stops(trainings, AVERAGED, {}, [STOPPED_AFTER], lose)) != []


def test_comparison_finds_no_difference_if_nothing_is_lost(trainings, undisturbed_average):
    assert list_unequal(undisturbed_average, train_with_stops(trainings, AVERAGED, {}, [STOPPED_AFTER])) == []


UNCHANGING = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 5, "patience": 2}  # a Swin has no batch statistics
STOPPED_WHILE_STALE = 5  # in the third epoch, after which patience ends the training


def lose_patience_so_far(content):
    assert content["standing"]["stale"] == 1
    content["standing"]["stale"] = 0


@pytest.mark.parametrize(("lose", "epochs"), [(None, b"3"), (lose_patience_so_far, b"4")])
def test_comparison_notices_lost_patience(trainings, monkeypatch, lose, epochs):
    make_swin_small(monkeypatch)
    settings = TINY | UNCHANGING | {"architecture": SWIN}
    undisturbed = train_with_stops(trainings, settings, {})
    assert undisturbed["last/standing/epoch"] == b"3"
    stopped = train_with_stops(trainings, settings, {}, [STOPPED_WHILE_STALE], lose)
    assert stopped["last/standing/epoch"] == epochs
    assert (list_unequal(undisturbed, stopped) == []) == (lose is None)


@pytest.fixture
def small_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


@pytest.mark.parametrize(
    ("moment", "number", "settings"),
    [
        pytest.param(  # a study is killed there too
            "in_the_middle_of_writing", 3, {"architecture": "test_resnet", "tta": True}, marks=pytest.mark.long
        ),
        ("between_the_two_renames", 1, {"architecture": SWIN, "ema": 0.9}),
    ],
)
def test_run_killed_while_writing_a_checkpoint_ends_bit_identical(
    small_workspace, monkeypatch, tmp_path, moment, number, settings
):
    make_swin_small(monkeypatch)
    run = make_train_run(small_workspace, "ResNet18_CFT", **settings)
    run_until_killed(run, moment, number)
    half_written = [path for path in run.checkpoints_folder.iterdir() if path.suffix == ".tmp"]
    assert len(half_written) == 1
    finish_run(run)
    assert not any(isinstance(event, Note) and event.level == "warning" for event in run.read_events())
    undisturbed_workspace = type(small_workspace)(tmp_path / "undisturbed")
    make_small_dataset(undisturbed_workspace)
    undisturbed = finish_run(make_train_run(undisturbed_workspace, "ResNet18_CFT", **settings))
    assert list_differences(run, undisturbed) == []
