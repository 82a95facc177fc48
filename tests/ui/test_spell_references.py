"""References in messages become command lines, flags and form fields that a person can use as they are."""

import re
import shlex
import subprocess
import sys

import pytest
from rich.console import Console

from tfm.core import hints
from tfm.core.errors import RunError
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.presets import PROJECT
from tfm.ui import render, spell_references
from tfm.ui.spell_references import set_reader, spell


@pytest.fixture(autouse=True)
def _reset_reader():
    yield
    set_reader(None)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (hints.setting("batch_size", 4), "--batch-size 4"),
        (hints.setting("cache"), "--cache"),
        (hints.setting("cache", "NAME"), "--cache NAME"),
        (hints.setting("deterministic", False), "--no-deterministic"),
        (hints.setting("deterministic", True), "--deterministic"),
        (hints.setting("resize.height", 128), "--set resize.height=128"),
        (hints.setting("workspace"), "--workspace"),
        (hints.setting("space", "{weights: [none]}"), "--space '{weights: [none]}'"),
        (hints.setting("csv", "/data/it's here"), shlex.join(["--csv", "/data/it's here"])),
        (hints.setting("clahe", False), "--set clahe=false"),
    ],
)
def test_a_setting_is_written_as_the_flag_that_the_command_takes(reference, words):
    assert spell(f"choose {reference}, please") == f"choose {words}, please"


def test_a_setting_without_a_flag_is_written_as_its_place_in_the_command():
    set_reader(None, "organize")
    assert spell(hints.setting("download")) == "DOWNLOAD"
    assert spell(hints.setting("download", "/data")) == "/data"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (hints.setting("batch_size", 4), '"batch size: 4"'),
        (hints.setting("batch_size"), "batch size"),
        (hints.setting("resize.height", 128), '"resize.height: 128"'),
        (hints.setting("workspace", "FOLDER"), "--workspace FOLDER"),  # no form asks for it
    ],
)
def test_a_setting_is_written_as_a_form_field_in_the_menu(reference, words):
    set_reader(None, in_menu=True)
    assert spell(reference) == words


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (hints.command("runs list"), ["runs", "list"]),
        (hints.command("runs resume", "2026_a b"), ["runs", "resume", "2026_a b"]),
        (hints.command("train MODEL", study="2026_x"), ["train", "MODEL", "--study", "2026_x"]),
        (hints.command("train", "Mine `1`", deterministic=False), ["train", "Mine `1`", "--no-deterministic"]),
        (hints.command("train", help=True), ["train", "--help"]),
    ],
)
def test_a_command_is_written_with_its_words_and_flags(reference, words):
    line = spell(reference).removeprefix("`").removesuffix("`")
    assert shlex.split(line)[2:] == words


def test_a_command_names_the_workspace_where_it_is_not_the_default(tmp_path):
    set_reader(Workspace(tmp_path / "other place"))
    (line,) = spell_references.find_commands(hints.command("runs list"))
    assert shlex.split(line)[-2:] == ["--workspace", str(tmp_path / "other place")]


def test_texts_of_older_workspaces_pass_through():
    for text in ("see `python wizard.py runs list`", "choose a smaller --batch-size", "a `command` and a 'setting: x"):
        assert spell(text) == text


def test_a_command_that_a_narrow_window_breaks_is_printed_whole_below(capsys):
    error = RunError(
        "it is gone", hint=f"make it again with the same settings: {hints.command('runs restart', 'x' * 40)}"
    )
    render.print_error(Console(width=50), error)
    (line,) = spell_references.find_commands(error.hint)
    assert line in capsys.readouterr().out.splitlines()


def test_a_printed_command_can_be_run_as_it_is_from_another_folder_with_another_workspace(tmp_path):
    here, workspace = tmp_path / "here", tmp_path / "my work"
    here.mkdir()
    refused = subprocess.run(
        [sys.executable, PROJECT / "wizard.py", "runs", "show", "nothing", "--workspace", workspace],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    (line,) = re.findall(r"^[^│\s].*wizard\.py runs list.*$", refused.stderr, re.MULTILINE)
    again = subprocess.run(line, shell=True, cwd=here, capture_output=True, text=True, check=True)
    assert "my work" in " ".join(again.stdout.split())
