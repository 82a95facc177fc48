"""What the command line says before it starts something absurd, to a script and to a person at a terminal."""

import io
import time

import pytest
from rich.console import Console

from tests.estimated_models import COST, GIVEN, learn, learn_weights, write_data
from tests.ui.scripted import LEAVE, Scripted
from tests.ui.terminal import Terminal
from tfm.core import machine
from tfm.core.runs.workspace import Workspace
from tfm.ui.next_steps import NextStep
from tfm.ui.screens.home import Home

PLACE = ["--workspace", "data", "--dataset", GIVEN["dataset"], "--cache", GIVEN["cache"]]


@pytest.fixture
def workspace(tmp_path, empty_user_cache):
    return write_data(Workspace(tmp_path / "data"))


def test_a_script_is_warned_of_an_absurd_value_and_told_which_weights_are_missing(workspace, run_main):
    learn_weights("resnet18", None, checked=time.time())
    told = run_main("train", "ResNet18_CFT", *PLACE, "--learning-rate", "1e9")
    said = " ".join(told.stderr.replace("│", " ").split())
    assert told.returncode == 1
    assert "a learning rate of 1e+09 is far outside the usual ones" in said
    assert "ResNet18_CFT cannot start" in said
    assert "--weights none" in said
    assert not workspace.runs_folder.exists()


def test_the_menu_offers_to_leave_out_the_models_whose_weights_are_missing(workspace):
    learn_weights("resnet18", None, checked=time.time())
    asker = Scripted({"review": ("start",), "leave_out": LEAVE})
    step = NextStep("Train", "models", "train", ("MammoCNN", "ResNet18_CFT"), GIVEN)
    Home(workspace, asker, Console(file=io.StringIO())).open(step)
    assert [choice.value for choice in asker.asked[-1].choices] == [("MammoCNN",)]
    assert not workspace.plans_folder.exists()


def test_a_person_must_confirm_what_the_machine_cannot_do(workspace, tmp_path):
    learn(workspace, "MammoCNN", COST | {"memory": [2 * machine.read_memory_gib() * 2**30, 0]})
    with Terminal("train", "MammoCNN", *PLACE, cwd=tmp_path) as terminal:
        assert "GiB of memory" in " ".join(terminal.wait_for("add --yes").split())
        assert terminal.wait_for_end() == 2
    assert not workspace.runs_folder.exists()
