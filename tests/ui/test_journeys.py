"""Whole journeys through the wizard, by keys alone, in a real terminal."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.ui.terminal import Terminal, open_form, wait_for_question
from tfm.core import command_list, registry
from tfm.core.runs import lookup
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace

pytestmark = pytest.mark.long
MODELS = ("MammoCNN", "ResNet18_CFT")
HOME = "Ctrl-C"
ENGLISH, SPANISH = {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C.UTF-8", "TFM_LANGUAGE": "es"}
MOST_KEYS = 12
NOTHING_TO_READ = "leak-comparison"  # needs runs that the small workspace lacks
STAGES = [name for name in command_list.list_commands() if isinstance(registry.find_command(name), registry.Stage)]
FORMS = [name for name in STAGES if name != NOTHING_TO_READ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder whose workspace has a dataset, a cache, two trained models and their comparison."""
    folder = tmp_path_factory.mktemp("trained")
    workspace = Workspace(folder / "workspace")
    make_small_dataset(workspace)
    runs = [finish_run(make_train_run(workspace, name, epochs=1, threads=1, weights="none")) for name in MODELS]
    finish_run(find_or_create_job(workspace, "compare", {"runs": [run.id for run in runs]}, []))
    return folder


def write_answers(folder: Path, answers: dict[str, Any]) -> None:
    """Give the answers of a last time, so that little is drawn and trained."""
    (folder / "workspace").mkdir()
    (folder / "workspace" / "answers.yaml").write_text(yaml.safe_dump(answers))


def start_practice_images(terminal: Terminal) -> None:
    """From the first start, make practice images, and wait until they are drawn."""
    terminal.wait_for("» See it work")
    terminal.press("up", "enter")
    terminal.wait_for("» Practice")
    terminal.press("enter")
    terminal.wait_for("» Start")
    terminal.press("enter")
    terminal.wait_for("images/s")


@pytest.mark.parametrize("language", [ENGLISH, SPANISH], ids=["en", "es"])
def test_no_line_is_cut_on_any_form_at_80_columns(trained, language):
    cut = {}
    with Terminal(cwd=trained, **language) as terminal:
        for name in FORMS:
            terminal.wait_for(HOME)
            cut["home"] = terminal.list_cut_lines()
            open_form(terminal, name)
            wait_for_question(terminal)
            cut[name] = terminal.list_cut_lines()
            terminal.press("ctrl-c")
    assert {name: lines for name, lines in cut.items() if lines} == {}


@pytest.mark.parametrize("key", ["escape", "ctrl-c"])
def test_every_form_can_be_left_at_its_first_screen(trained, key):
    with Terminal(cwd=trained, **ENGLISH) as terminal:
        for name in FORMS:
            open_form(terminal, name)
            wait_for_question(terminal)
            if key == "ctrl-c":
                terminal.press(key)
                terminal.wait_for(HOME)
            while HOME not in terminal.text:
                before = terminal.text
                terminal.press(key)
                terminal.wait_until_changed(before)


def test_from_the_first_start_to_a_comparison_in_few_keys(tmp_path, record_property):
    small = {"phantom": {"train_women": 24, "test_women": 12, "height": 512}}
    short = {"train EfficientNetLite0_OPW EfficientNetLite0_CFT": {"epochs": 1, "threads": 1}}
    write_answers(tmp_path, small | short)
    with Terminal(cwd=tmp_path, **ENGLISH) as terminal:
        terminal.wait_for("» See it work")
        terminal.press("up", "enter")
        terminal.wait_for("» Practice")
        terminal.press("enter")
        for words in ["» Organize", "» Preprocess", "» Train"]:
            while words not in terminal.text:
                terminal.wait_for_any("» Start", words)
                if "» Start" in terminal.text:
                    terminal.press("enter")
                    terminal.wait_until_gone("» Start")
            terminal.press("enter")
        terminal.wait_for("Which models?")
        terminal.press("enter")
        terminal.wait_for("» Start")
        terminal.press("enter")
        terminal.wait_for("» Compare", seconds=600)
        terminal.press("enter")
        terminal.wait_for_any("» Start", "highest AUC")
        if "» Start" in terminal.text:
            terminal.press("enter")
        terminal.wait_for("AUC", seconds=120)
    record_property("keys", terminal.pressed)
    assert terminal.pressed <= MOST_KEYS


def test_a_resized_window_is_drawn_anew_while_a_run_is_watched(tmp_path):
    write_answers(tmp_path, {"phantom": {"train_women": 60}})
    with Terminal(columns=120, rows=40, cwd=tmp_path, **ENGLISH) as terminal:
        start_practice_images(terminal)
        for columns, rows in [(80, 24), (60, 20), (140, 50)]:
            terminal.resize(columns, rows)
            terminal.wait_for("p pause")
            terminal.wait_until(lambda: terminal.list_cut_lines() == [], "a line is cut")
        terminal.press("p")
        terminal.wait_for("Paused")


def test_a_killed_run_shows_at_home_within_two_seconds_and_resumes_from_there(tmp_path):
    write_answers(tmp_path, {"phantom": {"train_women": 60}})
    workspace = Workspace(tmp_path / "workspace")
    with Terminal(cwd=tmp_path, **ENGLISH) as terminal:
        start_practice_images(terminal)
        terminal.press("l")
        terminal.wait_for("» Watch")
        (run,) = lookup.list_runs(workspace)
        os.kill(run.read_status().pid, signal.SIGKILL)
        terminal.wait_for("» Resume", seconds=2)
        terminal.press("enter")
        terminal.wait_for("» Organize", seconds=240)
    assert run.read_status().state == "done"


def test_keys_typed_while_a_run_works_do_nothing_later(trained):
    with Terminal(cwd=trained, **ENGLISH) as terminal:
        open_form(terminal, "evaluate")
        terminal.wait_for("» Start")
        terminal.press("enter")
        terminal.press("enter", "enter", "down", "enter")
        terminal.wait_for("AUC", seconds=120)
        terminal.wait_for("»")
    assert (
        len([run for run in lookup.list_runs(Workspace(trained / "workspace")) if run.read_stage() == "evaluate"]) == 1
    )


def test_the_accessible_wizard_goes_from_home_to_a_result(tmp_path):
    write_answers(tmp_path, {"phantom": {"train_women": 4, "test_women": 2, "height": 256}})
    with Terminal("--accessible", rows=60, columns=100, cwd=tmp_path, **ENGLISH) as terminal:
        terminal.wait_for("every command) >")
        terminal.press("3", "enter")
        terminal.wait_for("Practice")
        number = re.search(r"(\d+)\. Practice", terminal.text)[1]
        terminal.press(number, "enter")
        terminal.wait_for("Start")
        start = re.findall(r"(\d+)\. Start", terminal.text)
        if start:
            terminal.press(start[-1], "enter")
        terminal.wait_for("Organize", seconds=120)
