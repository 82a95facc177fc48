"""A training that was stopped, or killed at the worst of moments, ends bit for bit as the undisturbed one: weights,
optimizer, moving average, metrics and predictions, for every preset and every option that keeps something.

A death at no special moment stands in the tests of whole runs, that of a regression on frozen features in its own."""

import itertools

import pytest
import torch

from tests.faults.mishaps import SWIN, killed, make_swin_small
from tests.returned import returned
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.training.small_training import SmallTrainings, train_to_end
from tests.training.test_fit import differences, flat
from tfm.core.events import Note, Progress
from tfm.core.settings import presets
from tfm.training import checkpoint
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.inference import predict_logits
from tfm.training.linear_probe import fit_linear_probe
from tfm.training.loop import run_training

FOUND = {name: presets.load_preset("models", name) for name in presets.list_presets("models")}
PRESETS = {name: preset.settings for name, preset in FOUND.items() if preset.stage == "train"}
SMALL = {"weights": "none", "epochs": 2, "batch_size": 2, "accumulate": 2, "patience": None}
KEEPING = {"ema": 0.9, "gradient_clip": 1.0, "balance": "sampling", "dropout": 0.3}  # options
STOPPED_AFTER = 3  # steps, of two an epoch


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def learned(trainings, given, preset, stops=(), lose=None):
    """All that a training leaves behind, stopped after some numbers of steps and each time rebuilt from the disk."""
    folder = trainings.new_folder()
    for stop in stops:
        training = trainings.make(given, preset)
        checkpoints = Checkpoints(folder, seconds=0, key="a key")
        for event in run_training(training, checkpoints, folder / "metrics.csv"):
            if isinstance(event, Progress) and event.name == "step" and training.state.step == stop:
                break
        content = read_checkpoint(folder / "last.pt")
        # With two steps in an epoch: behind the second, validation comes before the checkpoint.
        assert content["standing"]["step"] == (stop if stop % 2 else stop - 1)
        if lose:
            lose(content)
            checkpoints.save(content)
    training = train_to_end(trainings.make(given, preset), folder)
    said = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val", tta=True))
    left = {"metrics": (folder / "metrics.csv").read_bytes(), "predictions": said.numpy().tobytes()}
    left |= {f"best{place}": leaf for place, leaf in flat(read_checkpoint(folder / "best.pt")).items()}
    return left | {f"last{place}": leaf for place, leaf in flat(read_checkpoint(folder / "last.pt")).items()}


def regressed(trainings, given, preset, stops=()):
    """The same of a regression on frozen features, stopped after some numbers of batches."""
    folder = trainings.new_folder()

    def events(training):
        return fit_linear_probe(
            training, Checkpoints(folder, seconds=0, key="a key"), folder / "metrics.csv", folder / "features"
        )

    for stop in stops:
        unfinished = events(trainings.make(given, preset))
        assert next(event for event in unfinished if event.done == stop).name == "features of training"
        unfinished.close()
    training = trainings.make(given, preset)
    for _ in events(training):
        pass
    said = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val"))
    left = {"metrics": (folder / "metrics.csv").read_bytes(), "predictions": said.numpy().tobytes()}
    return left | flat(read_checkpoint(folder / "best.pt"))


def ended(trainings, name, given, stops=()):
    preset = PRESETS[name]
    if preset["model"].get("trained") == "none":
        return regressed(trainings, {"weights": "none", "batch_size": 2} | given, preset, stops)
    return learned(trainings, SMALL | KEEPING | given, preset, stops)


def unequal(one, other):
    return sorted(place for place in one.keys() | other.keys() if one.get(place) != other.get(place))


@pytest.fixture(autouse=True)
def checkpoints_at_each_step(monkeypatch):
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_ends_the_same_when_stopped_and_rebuilt_from_disk(trainings, name):
    short = {} if PRESETS[name]["model"].get("trained") == "none" else {"epochs": 1}
    calm = ended(trainings, name, short)
    assert unequal(calm, ended(trainings, name, short, [1])) == []


@pytest.mark.long
@pytest.mark.parametrize(("name", "seed"), list(itertools.product(PRESETS, range(5))))
def test_every_preset_ends_the_same_with_many_seeds_stopped_at_every_step(trainings, name, seed):
    calm = ended(trainings, name, {"seed": seed})
    assert unequal(calm, ended(trainings, name, {"seed": seed}, [1, 2, 3])) == []


TINY = {"architecture": "test_resnet", "weights": "none", "epochs": 2, "batch_size": 4}
OPTIONS = {
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "channels_last": {"channels_last": True, "ema": 0.9},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd"},
    "plain": {"balance": "none", "augment": False},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_ends_the_same_when_stopped(trainings, name):
    given = TINY | OPTIONS[name]
    assert unequal(learned(trainings, given, {}), learned(trainings, given, {}, [STOPPED_AFTER])) == []


def test_a_swin_ends_the_same_when_stopped(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    given = TINY | KEEPING | {"architecture": SWIN}
    assert unequal(learned(trainings, given, {}), learned(trainings, given, {}, [1, STOPPED_AFTER])) == []


@pytest.mark.long
def test_a_compiled_network_ends_the_same_when_stopped_whatever_was_compiled_before(trainings, monkeypatch, tmp_path):
    """Also where nothing that was compiled is kept, as on another day; and the compiled network's bits are its own."""
    given = TINY | {"compile": True, "ema": 0.9, "dropout": 0.3}
    calm = learned(trainings, given, {})
    assert not [place for place in calm if "_orig_mod" in place]
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)
    learned(trainings, given | {"batch_size": 8, "epochs": 1}, {})
    assert unequal(calm, learned(trainings, given, {}, [1, STOPPED_AFTER])) == []
    assert unequal(calm, learned(trainings, given | {"compile": False}, {})) != []


AVERAGED = TINY | {"ema": 0.9, "precision": "fp16"}


@pytest.fixture(scope="module")
def calm_average(trainings):
    return learned(trainings, AVERAGED, {})


def without_average(content):
    content["ema"] = content["network"]


def without_scale(content):
    content["scaler"] = content["scaler"] | {"scale": 2.0**40}


def without_rows(content):
    content["standing"]["rows"] = []


def without_best(content):
    content["standing"]["best"] = 2.0


def without_place_in_the_epoch(content):
    content["standing"]["epoch_step"] = 0
    content["answered"] = content["answered"][:0]


def without_answers_so_far(content):
    content["answered"] = -content["answered"]


def without_weights(content):
    content["network"] = {name: torch.zeros_like(tensor) for name, tensor in content["network"].items()}


@pytest.mark.parametrize(
    "lose",
    [
        *(without_average, without_scale, without_rows, without_best),
        *(without_place_in_the_epoch, without_answers_so_far, without_weights),
    ],
)
def test_the_proof_notices_each_piece_of_state_that_is_lost(trainings, calm_average, lose):
    """Momentum, step, batch statistics and the loss so far: see the tests of whole runs."""
    assert unequal(calm_average, learned(trainings, AVERAGED, {}, [STOPPED_AFTER], lose)) != []


def test_the_proof_finds_nothing_where_nothing_is_lost(trainings, calm_average):
    assert unequal(calm_average, learned(trainings, AVERAGED, {}, [STOPPED_AFTER])) == []


UNCHANGING = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 5, "patience": 2}  # by batch statistics neither
STOPPED_WHILE_STALE = 5  # in the third epoch of those without anything better, with which it ends


def without_patience_so_far(content):
    assert content["standing"]["stale"] == 1
    content["standing"]["stale"] = 0


@pytest.mark.parametrize(("lose", "epochs"), [(None, 3), (without_patience_so_far, 4)])
def test_the_proof_notices_patience_that_is_lost(trainings, monkeypatch, lose, epochs):
    make_swin_small(monkeypatch)
    given = TINY | UNCHANGING | {"architecture": SWIN}
    calm = learned(trainings, given, {})
    assert calm["last/standing/epoch"] == 3
    stopped = learned(trainings, given, {}, [STOPPED_WHILE_STALE], lose)
    assert stopped["last/standing/epoch"] == epochs
    assert (unequal(calm, stopped) == []) == (lose is None)


@pytest.fixture
def pocket_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


@pytest.mark.parametrize(
    ("moment", "number", "given"),
    [
        ("in_the_middle_of_writing", 3, {"architecture": "test_resnet", "tta": True}),
        ("between_the_two_renames", 1, {"architecture": SWIN, "ema": 0.9}),
    ],
)
def test_a_run_killed_while_it_writes_a_checkpoint_ends_bit_identical(
    pocket_workspace, monkeypatch, tmp_path, moment, number, given
):
    make_swin_small(monkeypatch)
    run = make_train_run(pocket_workspace, "ResNet18_CFT", **given)
    killed(run, moment, number)
    half_written = [path for path in run.checkpoints_folder.iterdir() if path.suffix == ".tmp"]
    assert len(half_written) == 1
    finish_run(run)
    assert not any(isinstance(event, Note) and event.level == "warning" for event in run.read_events())
    calm_workspace = type(pocket_workspace)(tmp_path / "calm")
    make_small_dataset(calm_workspace)
    calm = finish_run(make_train_run(calm_workspace, "ResNet18_CFT", **given))
    assert differences(run, calm) == []
