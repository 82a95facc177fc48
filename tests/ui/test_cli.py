"""Every command by its name, in a process of its own: what it says, where it says it, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy_jobs import finish, three_steps, toy_run
from tests.toys.learn import Learn
from tfm import __version__
from tfm.core import command_list
from tfm.core.registry import find_stage
from tfm.core.runs.find_or_create import find_or_create_plan, find_or_create_run
from tfm.core.runs.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[2]


def wizard(*words, cwd=PROJECT, **environment):
    return subprocess.run(
        [sys.executable, str(PROJECT / "wizard.py"), *map(str, words)],
        capture_output=True, text=True, cwd=cwd, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "120"} | environment,
    )  # fmt: skip


def test_the_menu_without_a_terminal_lists_the_commands_and_exits_with_2(tmp_path):
    told = wizard(cwd=tmp_path)
    assert told.returncode == 2
    assert all(name in told.stderr for name in command_list.list_commands())
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_command_with_its_summary():
    told = wizard("--help")
    assert told.returncode == 0
    for name in command_list.list_commands():
        assert name in told.stdout
        assert command_list.read_summary(name) in told.stdout


@pytest.mark.parametrize("name", [*command_list.list_commands(), "runs"])
def test_every_command_has_help(name, run_main):
    told = run_main(name, "--help")
    assert told.returncode == 0, told.stderr
    assert "Usage" in told.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["organize", "/no/such/place"], "/no/such/place"),
        (["train", "MammoCN"], "did you mean MammoCNN"),
        (["phantom", "out", "--difficulty", "7"], "difficulty"),
        (["organize", "["], "["),
        (["--workspace", "demo", "compare"], "runs"),
        (["--workspace", "demo", "runs", "show", "x"], "called 'x'"),
        (["phantom", ""], "give the path of a folder"),
        (["phantom", str(PROJECT / "README.md")], "is a file, not a folder"),
        (["phantom", "out", "--seed", "many"], "must be a whole number"),
        (["phantom", "out", "--traps", "quicksand"], "quicksand"),
        (["phantom", "out", "--dificulty", "0.1"], "--dificulty"),
        (["preprocess"], "there is no dataset"),
        (["preprocess", "--preset", "fastt"], "did you mean fast"),
        (["preprocess", "--set", "resize"], "write it as NAME=VALUE"),
        (["compare"], "runs"),
        (["evaluate", "nothing"], "nothing"),
        (["runs", "show", "nothing"], "nothing"),
        (["fly"], "no command called 'fly'"),
        (["train", "MammoCNN", "--lr", "0.1"], "did you mean --learning-rate?"),
        (["train", "MammoCNN", "--epoch", "2"], "did you mean --epochs?"),
        (["train", "MammoCNN", "--bs", "2"], "did you mean --batch-size?"),
        (["train", "MammoCNN", "--epochs"], "--epochs needs a value"),
        (["train", "--detach=1"], "--detach takes no value"),
        (["preprocess", "now"], "now: this word has no place here"),
        (["organize"], "Which folder contains the download, or your own images? (DOWNLOAD)"),
        (["runs", "shw"], "did you mean show?"),
        (["runs", "show"], "RUN is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_arguments_show_one_panel_and_create_nothing(words, says, tmp_path, run_main):
    told = run_main(*words)
    assert told.returncode in (1, 2)
    assert says in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is created"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("oriemt=false", "did you mean orient"),
        ("oriemt.x=1", "did you mean orient"),
        ("resize.heigth=64", "did you mean height"),
        ("orient=perhaps", "orient: must be true or false"),
    ],
)
def test_a_wrong_name_after_set_suggests_the_nearest_one(word, says, tmp_path, run_main):
    dataset = tmp_path / "workspace" / "dataset" / "d"
    dataset.mkdir(parents=True)
    (dataset / "manifest.csv").touch()
    told = run_main("preprocess", "--set", word)
    assert told.returncode == 2
    assert says in told.stderr
    assert not (tmp_path / "workspace" / "runs").exists()


def test_a_workspace_that_cannot_be_written_is_reported(tmp_path, run_main):
    (tmp_path / "file").write_text("")
    told = run_main("phantom", tmp_path / "out", "--workspace", tmp_path / "file" / "w")
    assert told.returncode == 1
    assert "choose another --workspace" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_command_prints_json_results_and_does_not_run_twice(tmp_path, run_main):
    words = ["phantom", tmp_path / "out", "--train-women", "2", "--test-women", "1", "--height", "256"]
    first = wizard(*words, "--json", "--quiet", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert ("done" in first.stderr, first.stderr.count("synthetic")) == (True, 1), "quiet: only its end is shown"
    told = json.loads(first.stdout.splitlines()[-1])
    assert told["result"]["mammograms"] == 6
    again = run_main(*words, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["id"] == told["id"]
    assert "nothing to do again" in again.stderr
    assert "phantom" in run_main("runs").stdout
    refused = run_main("runs", "remove", told["id"])
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert run_main("runs", "remove", told["id"], "--yes").returncode == 0
    assert "phantom" not in run_main("runs", "list").stdout


def test_the_workspace_option_works_before_and_after_the_command(tmp_path, run_main):
    command = ["phantom", tmp_path / "out", "--train-women", "2", "--test-women", "1", "--height", "256"]
    place = ["--workspace", tmp_path / "elsewhere"]
    told = run_main(*place, *command)
    assert told.returncode == 0, told.stderr
    assert "nothing to do again" in " ".join(run_main(*command, *place).stdout.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]
    for words in (["runs", *place], ["runs", "list", *place], [*place, "runs"], ["runs", *place, "list"]):
        assert "phantom" in run_main(*words).stdout


def test_a_workspace_whose_path_is_not_utf_8_is_refused_in_words(tmp_path, run_main):
    told = run_main("runs", "list", "--workspace", os.fsdecode(b"caf\xe9"))
    assert told.returncode == 1
    assert "is not UTF-8" in " ".join(told.stderr.replace("│", " ").split())
    assert "bug" not in told.stderr


@pytest.mark.parametrize("place", ["runs", "plans", ".lock"])
def test_a_file_in_place_of_a_folder_is_named_with_what_to_do(place, tmp_path, run_main):
    (tmp_path / "workspace").mkdir()
    if place == ".lock":
        (tmp_path / "workspace" / place).mkdir()
    else:
        (tmp_path / "workspace" / place).touch()
    for words in (["runs"], ["phantom", "out", "--train-women", "2", "--test-women", "1", "--detach"]):
        told = run_main(*words)
        assert "bug" not in told.stderr
        assert told.returncode == 0 or "move" in told.stderr, "the hint says to move the file"


def test_a_folder_named_like_markup_is_shown_as_it_is(tmp_path, run_main):
    listed = run_main("runs", "list", "--workspace", "[b]x[/y]")
    assert listed.returncode == 0, listed.stderr
    assert "[b]x[/y]" in listed.stdout.replace("\n", "")


def test_a_damaged_run_does_not_block_the_others(tmp_path, run_main):
    finish(toy_run(Workspace(tmp_path / "workspace")))
    broken = tmp_path / "workspace" / "runs" / "2026-01-01_old_abc123"
    broken.mkdir()
    for damage in ("garbage", "[]"):
        (broken / "status.json").write_text(damage)
        listed = run_main("runs")
        assert listed.returncode == 0, listed.stderr
        assert "damaged" in listed.stdout
        assert "count" in listed.stdout
    told = run_main("runs", "resume", "old")
    assert (told.returncode, "runs remove" in told.stderr) == (1, True)
    assert run_main("runs", "remove", "old", "--yes").returncode == 0
    assert not broken.exists()


@pytest.mark.parametrize("content", ["title: [x", "- a\n- list", "\xff\xfe", "title: x"])
def test_a_broken_user_preset_is_named_and_does_not_block_the_others(content, tmp_path, run_main):
    own = tmp_path / "workspace" / "models"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_bytes(content.encode("latin-1"))
    told = run_main("train", "mine")
    assert told.returncode == 2
    assert "mine.yaml" in told.stderr.replace("\n", "")
    assert "defect" not in told.stderr
    assert "there is no dataset" in run_main("train", "MammoCNN").stderr


def test_a_terminal_without_unicode_shows_no_traceback():
    told = wizard("--help", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert told.returncode == 0
    assert "Traceback" not in told.stderr


def test_a_detached_run_can_be_paused_and_resumed(tmp_path):
    words = ["phantom", tmp_path / "out", "--train-women", "24", "--test-women", "6", "--height", "512"]
    told = wizard(*words, "--detach", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    run = json.loads(told.stdout.splitlines()[-1])["id"]
    paused = wizard("runs", "pause", run, cwd=tmp_path)
    assert paused.returncode == 0, paused.stderr
    assert paused.stdout.startswith("Asked to pause")
    assert "paused" in paused.stdout.splitlines()
    resumed = wizard("runs", "resume", run, "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["state"] == "done"


def test_help_imports_nothing_heavy(tmp_path):
    code = "import sys; sys.argv = ['wizard.py', '--help']\nfrom tfm.ui.cli import main; main()\n"
    code += "heavy = ('numpy', 'torch', 'pandas', 'pydantic', 'questionary')\n"
    code += "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert told.stderr.strip() == "[]"


def test_a_plan_is_shown_after_one_of_its_runs_was_removed(tmp_path, run_main):
    plan = find_or_create_plan(Workspace(tmp_path / "workspace"), "toy", three_steps())
    finish(plan)
    assert run_main("runs", "remove", plan.read_status().runs["one"], "--yes").returncode == 0
    assert run_main("runs", "show", plan.id).returncode == 0


def test_a_done_run_with_missing_outputs_is_refused(tmp_path, run_main):
    run = toy_run(Workspace(tmp_path / "workspace"))
    finish(run)
    (run.folder / "counted.txt").unlink()
    told = run_main("runs", "resume", run.id)
    assert (told.returncode, "runs restart" in told.stderr) == (1, True)


def test_a_positional_argument_shows_its_default(run_main):
    assert "[default: (EfficientNetB3_CFT)]" in run_main("tune", "--help").stdout


def test_removing_a_trial_names_its_study(tmp_path, run_main):
    workspace = Workspace(tmp_path / "workspace")
    trial = find_or_create_run(workspace, find_stage("learn"), Learn(), None, part_of="a-study")
    for words in ((), ("--yes",)):
        told = run_main("runs", "remove", trial.id, *words)
        assert "a trial of a-study" in " ".join((told.stdout + told.stderr).replace("│", "").split())
    assert not trial.folder.exists()


def test_a_python_without_the_packages_is_told_how_to_install_them():
    told = subprocess.run([sys.executable, "-S", PROJECT / "wizard.py"], capture_output=True, text=True)
    assert (told.returncode, "pip install -r requirements.txt" in told.stderr) == (1, True)
    assert "Traceback" not in told.stderr


def test_the_version_is_shown(run_main):
    assert run_main("--version").stdout == f"TFM {__version__}\n"


def test_help_shows_words_between_colons_not_emoji():
    """Between colons rich sees an identity card in the word ID."""
    told = wizard("train", "--help", COLUMNS="200")
    assert "run:ID: the best checkpoint" in told.stdout
    assert "file:PATH: a " in " ".join(told.stdout.split())
