"""The commands in a document: whoever types them gets the same runs."""

import shlex

import pytest

from tests.training.small_dataset import make_small_dataset, make_train_run
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.repeat_runs import list_repeating_commands, write_repeating_command
from tfm.core.runs.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("repeat") / "workspace")
    make_small_dataset(workspace)
    return workspace


def start(workspace, line):
    """Start what a command line says, as the command line does."""
    python, program, command, *words = shlex.split(line)
    assert (python, program) == ("python", "wizard.py")
    presets, given = [], {}
    while words:
        word = words.pop(0)
        if word == "--set":
            name, value = words.pop(0).split("=")
            given[name] = value
        elif word.startswith("--no-"):
            given[word[5:].replace("-", "_")] = False
        elif word.startswith("--"):
            has_value = words and not words[0].startswith("--")
            given[word[2:].replace("-", "_")] = words.pop(0) if has_value else True
        else:
            presets.append(word)
    return find_or_create_job(workspace, command, given, presets or [given.pop("preset")])


@pytest.mark.parametrize("given", [{"dropout": 0.25, "augment": False, "seed": 9, "balance": "none"}, {}])
def test_the_command_of_a_run_finds_the_run(workspace, given):
    run = make_train_run(workspace, "ResNet18_CFT", **given)
    assert start(workspace, write_repeating_command(run)).id == run.id


def test_steps_of_a_preset_can_be_changed_added_and_left_out(workspace):
    changes = {"dataset": "pocket", "orient": False, "clahe": True, "clahe.clip_limit": 3.0, "crop_breast.margin": 0.05}
    run = find_or_create_job(workspace, "preprocess", changes, ["highres"])
    assert start(workspace, write_repeating_command(run)).id == run.id


def test_the_runs_that_made_the_inputs_come_first(workspace):
    first = make_train_run(workspace, "MammoCNN")
    status = first.folder / "status.json"
    status.write_text(status.read_text().replace('"waiting"', '"done"'))
    first.best_checkpoint.parent.mkdir(exist_ok=True)
    first.best_checkpoint.touch()
    second = make_train_run(workspace, "MammoCNN", weights=f"run:{first.id}")
    assert [one.run for one in list_repeating_commands(workspace, [second])] == [first.id, second.id]
