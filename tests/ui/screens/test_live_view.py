"""A run as it is watched, and every way to stop watching."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tests.toy_jobs import finish, wait_for_event
from tests.ui.screens.drawn_jobs import TOY
from tests.ui.scripted import LEAVE, Scripted
from tests.ui.terminal import PROJECT, Terminal
from tests.ui.test_cli import wizard
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.lookup import list_runs, read_plans
from tfm.ui import cli
from tfm.ui.plain_asker import PlainAsker
from tfm.ui.prompts import ToMenu
from tfm.ui.screens import job_menu
from tfm.ui.screens.runs_screen import open_runs


def test_without_a_terminal_an_epoch_is_one_line(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 3})
    told = wizard("runs", "resume", run.id, "--workspace", workspace.root, COLUMNS="60")
    assert told.returncode == 0, told.stderr
    epochs = [line for line in told.stdout.splitlines() if "val_auc" in line]
    assert [line.split()[:2] for line in epochs] == [["epoch", "1"], ["epoch", "2"], ["epoch", "3"]]
    assert all("learning_rate" in line for line in epochs)


# --- stopping it ------------------------------------------------------------------------------------------------------


def test_ctrl_c_pauses_a_command_and_closes_its_screen(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 500, "seconds_a_step": 0.01})
    with Terminal("runs", "resume", run.id, "--workspace", str(workspace.root)) as terminal:
        terminal.wait_for("images/s")
        terminal.press("ctrl-c")
        terminal.wait_for("Paused.")
        assert terminal.wait_for_end() == 130
    assert run.read_status().state == "paused"


def test_keys_leave_a_run_and_stop_it(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 500, "seconds_a_step": 0.02})
    place = ("--workspace", str(workspace.root))
    with Terminal("runs", "resume", run.id, *place) as terminal:
        terminal.wait_for("l leave it running")
        terminal.press("l")
        terminal.wait_for("is running")
        assert terminal.wait_for_end() == 0
    with Terminal("runs", "watch", run.id, *place) as terminal:
        terminal.wait_for("s stop")
        terminal.press("s", "n", "s")
        terminal.wait_for("s yes")
        assert run.is_alive()
        terminal.press("s", "p", "l")
        terminal.wait_for("You stopped it")
        terminal.wait_for_end()
    assert run.read_status().state == "paused"
    assert run.read_status().seconds > 0


def test_sigterm_pauses_a_command_as_ctrl_c_does(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 500, "seconds_a_step": 0.01})
    words = [sys.executable, str(PROJECT / "wizard.py"), "runs", "resume", run.id, "--workspace", str(workspace.root)]
    command = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT)
    wait_for_event(run, 2)
    os.kill(command.pid, signal.SIGTERM)
    said, _ = command.communicate(timeout=30)
    assert (command.returncode, run.read_status().state) == (130, "paused"), said
    assert "Pausing at the next safe point" in said


@pytest.mark.parametrize("plain", [True, False])
def test_nothing_moves_in_the_accessible_menu(workspace, plain, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "")
    file = io.StringIO()
    console = Console(file=file, width=100, height=40, force_terminal=True)
    asker = PlainAsker(console) if plain else Scripted({})
    job = find_or_create_job(workspace, TOY, {"epochs": 5, "seconds_a_step": 0.05})
    job_menu.open_job(job, ThisMachine(), asker, console)
    own_screen = "\x1b[?1049h"
    wiped = "\x1b[2K"
    assert (own_screen in file.getvalue()) != plain
    assert wiped not in file.getvalue(), "a line that is wiped before it is written flickers"
    assert ("val_auc" in file.getvalue()) >= plain


# --- several ----------------------------------------------------------------------------------------------------------


def test_repeats_are_options_of_the_command(workspace):
    app = typer.Typer()
    app.command()(cli.build_command(TOY))
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"})
    assert "--seeds" in told.stdout
    assert "counted up from fold" in told.stdout
    words = ["--seeds", "2", "--epochs", "1", "--json", "--workspace", str(workspace.root)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    ((_, status),) = read_plans(workspace)
    assert list(status.runs) == ["learn-seed7", "learn-seed8"]


def test_a_run_is_extended_by_a_command(workspace, run_main):
    run = find_or_create_job(workspace, TOY, {"epochs": 2})
    finish(run)
    place = ["--workspace", workspace.root]
    unsaid = run_main("runs", "extend", run.id, *place)
    assert unsaid.returncode == 2
    assert "--epochs 4" in unsaid.stderr
    for wrong in (["--epochs", "2"], ["--epochs", "x"], ["--epoch", "9"], ["--epochs"]):
        assert run_main("runs", "extend", run.id, *wrong, *place).returncode == 2
    first = wizard("runs", "extend", run.id, "--epochs", "3", "--json", *place)
    assert first.returncode == 0, first.stderr
    told = wizard("runs", "extend", "--epochs=3", run.id, "--json", *place)
    assert told.stdout.splitlines()[-1] == first.stdout.splitlines()[-1], "whichever is said first"
    assert json.loads(told.stdout.splitlines()[-1])["result"]["epochs"] == 3
    other = find_or_create_job(workspace, "count", {"target": 2})
    finish(other)
    assert "cannot be extended" in run_main("runs", "extend", other.id, "--epochs", "3", *place).stderr


def test_a_run_without_settings_can_be_removed_from_the_menu(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 1})
    finish(run)
    (run.folder / "settings.yaml").unlink()
    asker = Scripted({"run": (run.id, LEAVE), "action": "remove", "sure": True})
    open_runs(workspace, asker, Console(file=io.StringIO()))
    assert list_runs(workspace) == []


def test_a_run_is_extended_from_the_menu(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 2})
    finish(run)
    asker = Scripted({"run": (run.id, LEAVE), "action": "extend", "total": "3"})
    console = Console(file=io.StringIO(), width=100)
    with pytest.raises(ToMenu):
        open_runs(workspace, asker, console)
    asked = next(question for question in asker.asked if question.name == "total")
    assert "so far 2" in asked.text
    assert "new number of epochs" in asked.why
    assert "above 2" in asked.find_problem("2")
    assert "whole number" in asked.find_problem("far")
    (new,) = (one for one in list_runs(workspace) if one.id != run.id)
    assert new.read_status().result["epochs"] == 3
