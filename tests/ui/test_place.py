"""Where a run should run: the question of the forms, and `--on` of the commands."""

import io
import json
import shlex

import pytest
from rich.console import Console

from tests.one_node_slurm import wait_until, write_cluster
from tests.toy_jobs import three_steps, toy_run
from tests.ui.scripted import Scripted, read_rows
from tests.ui.terminal import Terminal, choose, open_form, read_question
from tfm.core.runs import lookup
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.runs.executors import SlurmCluster
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.slurm_queue import RUN, Placement, forget_reading, write_placement
from tfm.core.runs.workspace import Workspace
from tfm.ui.equivalent_command_line import FilledForm, write_command
from tfm.ui.form import Form
from tfm.ui.screens.home import Home

ONE_CORE = {"partition": "main", "time": 10, "cpus": 1, "gpus": 0}
PHANTOM = ["phantom", "out", "--train-women", "2", "--test-women", "1", "--height", "256"]


def form(workspace, **answers):
    asker = Scripted({"out": "out", "review": "start"} | answers)
    return Form("phantom", workspace, asker, Console(file=io.StringIO(), width=100), start=lambda _: None), asker


def test_without_a_cluster_nobody_is_asked_where_to_run(workspace):
    asked, asker = form(workspace)
    assert asked.fill().on is None
    assert "place" not in asker.names


def test_the_review_shows_where_it_runs_and_another_place_can_be_chosen(workspace):
    write_cluster(workspace, partition="gpu")
    asked, asker = form(workspace, place="ours")
    filled = asked.fill()
    assert [read_rows(review)["place"] for review in asker.find("review")] == [THIS_MACHINE, "ours"]
    (question,) = asker.find("place")
    assert [choice.title for choice in question.choices] == ["this machine", "ours"]
    assert read_rows(question)["ours"] == "partition gpu"
    words = shlex.split(write_command(filled, workspace))
    assert words[words.index("--on") + 1] == "ours"


def test_a_form_with_all_its_answers_can_still_run_elsewhere(workspace):
    write_cluster(workspace)
    asked, asker = form(workspace, place="ours")
    assert asked.fill(FilledForm("phantom", (), {"out": "out"})).on == "ours"
    assert asker.names[0] == "review"


def test_a_cluster_whose_file_has_a_mistake_cannot_be_chosen_and_says_why(workspace):
    write_cluster(workspace, partitoin="gpu")
    asked, asker = form(workspace, place=THIS_MACHINE)
    asked.fill()
    assert "partitoin" in asker.find("place")[0].choices[1].disabled


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*PHANTOM, "--on", "nowhere"], "there is no cluster called 'nowhere'"),
        ([*PHANTOM, "--on", "example"], "there is no cluster called 'example'"),
        (["runs", "list", "--on", "ours"], "starts no run"),
        (["--on=ours"], "starts no run"),
    ],
)
def test_a_wrong_place_is_told_and_nothing_is_made(words, says, tmp_path, run_main):
    told = run_main(*words)
    assert (told.returncode, told.stdout) == (2, "")
    assert says in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_slurm_refuses_is_told_before_a_run_is_made(slurm, tmp_path, run_main):
    workspace = Workspace(tmp_path / "workspace")
    write_cluster(workspace, **ONE_CORE | {"partition": "cellar"})
    told = run_main(*PHANTOM, "--on", "ours")
    assert told.returncode == 1
    assert "invalid partition" in told.stderr
    assert not workspace.runs_folder.exists()


def test_a_run_on_a_cluster_is_listed_paused_and_resumed_there(slurm, tmp_path, run_main):
    workspace = Workspace(tmp_path / "workspace")
    write_cluster(workspace, **ONE_CORE)
    with slurm.occupied():
        told = run_main(*PHANTOM, "--on", "ours", "--detach", "--json")
        assert told.returncode == 0, told.stderr
        run = lookup.find_run(workspace, json.loads(told.stdout)["id"])
        assert f"{run.id} on ours: waiting" in told.stderr
        assert "waiting" in run_main("runs", "list").stdout
        assert f"{run.id} on ours: waiting" in run_main("runs", "show", run.id).stdout
        assert "pause it first" in run_main("runs", "remove", run.id, "--yes").stderr
        assert "paused" in run_main("runs", "pause", run.id).stdout.splitlines()
        assert slurm.count_jobs() == 1, "only the job of another person is left"
    told = run_main("runs", "resume", run.id, "--json")
    assert (told.returncode, json.loads(told.stdout.splitlines()[-1])["state"]) == (0, "done")
    assert (run.folder / "slurm").is_dir(), "it was submitted again"


def test_a_plan_says_what_its_steps_wait_for_and_can_continue_here(slurm, tmp_path, run_main):
    workspace = Workspace(tmp_path / "workspace")
    write_cluster(workspace, **ONE_CORE)
    plan = find_or_create_plan(workspace, "toys", three_steps())
    with slurm.occupied():
        SlurmCluster(workspace, "ours").submit(plan)
        wait_until(lambda: plan.read_status().message == "2 waiting for other steps, 1 waiting for resources")
        shown = " ".join(run_main("runs", "show", plan.id).stdout.split())
        assert "on ours: 2 waiting for other steps, 1 waiting for resources" in shown
        run_main("runs", "pause", plan.id)
        assert slurm.count_jobs() == 1, "only the job of another person is left"
        here = run_main("runs", "resume", plan.id, "--on", THIS_MACHINE, "--json")
        assert json.loads(here.stdout.splitlines()[-1])["state"] == "done", "it does not wait for the cluster"


def test_a_paused_run_is_not_removed_while_slurm_does_not_answer(tmp_path, run_main, monkeypatch):
    """At its time limit, a job pauses its run and enters the queue again."""
    run = toy_run(Workspace(tmp_path / "workspace"))
    run.update(state="paused")
    write_cluster(run.workspace, **ONE_CORE)
    write_placement(run.folder, Placement("ours", {RUN: "1"}))
    forget_reading()
    monkeypatch.setenv("PATH", "")
    told = run_main("runs", "remove", run.id, "--yes")
    assert (told.returncode, run.folder.exists()) == (1, True)
    assert "Slurm does not answer" in told.stderr


def test_home_asks_the_doctor_what_to_check(slurm, workspace):
    write_cluster(workspace, **ONE_CORE | {"partition": "cellar"})
    asker, console = Scripted({"place": "ours"}), Console(file=io.StringIO(), width=150)
    Home(workspace, asker, console).open("doctor")
    assert asker.names == ["place", "continue"]


@pytest.mark.long
def test_a_person_starts_a_run_on_a_cluster_and_leaves_it(slurm, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    write_cluster(workspace, **ONE_CORE)
    with Terminal(columns=100, rows=30, cwd=tmp_path) as terminal:
        open_form(terminal, "phantom")
        terminal.wait_for(read_question("phantom", "out"))
        terminal.press("out", "enter")
        for title, count in {"Train women": "2", "Test women": "1"}.items():
            choose(terminal, title)
            terminal.wait_for("? How many patients")
            terminal.press(count, "enter")
        choose(terminal, "Where to run")
        choose(terminal, "ours")
        with slurm.occupied():
            choose(terminal, "Start")
            terminal.wait_for(": waiting")
            terminal.press("ctrl-c")
            terminal.wait_for("on ours: waiting")
            terminal.press("enter")  # leave it running
            terminal.wait_for("What next?")
        (run,) = lookup.list_runs(workspace)
        wait_until(lambda: run.read_status().state == "done")
