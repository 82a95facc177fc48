"""A run at work, as it is watched: all of it within the window, whatever it says; and every way to stop watching."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tests.toy_jobs import finish, wait_for_event
from tests.ui.scripted import LEAVE, Scripted
from tests.ui.terminal import PROJECT, Terminal
from tests.ui.test_cli import wizard
from tfm.core.events import CurrentValues, Metrics, Note, Progress, StateChange
from tfm.core.runs import job_folder
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.lookup import list_plans, list_runs
from tfm.core.runs.plan import Step
from tfm.core.runs.worker import execute_plan
from tfm.ui import cli
from tfm.ui.chart import draw_chart
from tfm.ui.job_view import JobView
from tfm.ui.plain_asker import PlainAsker
from tfm.ui.prompts import ToMenu
from tfm.ui.run_state import RunView
from tfm.ui.screens import job_menu
from tfm.ui.screens.draw_job import draw_job
from tfm.ui.screens.job_end import print_end
from tfm.ui.screens.runs_screen import open_runs
from tfm.ui.screens.show_job import print_job

TOY = "learn"
KEYS = "p pause"
COLUMNS = (
    *("learning_rate", "train_loss", "train_accuracy", "train_auc"),
    *("val_loss", "val_accuracy", "val_auc"),
)
LONG = "a film whose name is long " * 9


def on_screen(job, columns, rows):
    file = io.StringIO()
    console = Console(file=file, width=columns, height=rows, force_terminal=True, color_system=None)
    view = JobView(job)
    view.refresh()
    console.print(draw_job(view, console, KEYS))
    return file.getvalue().splitlines()


def at_work(workspace, epochs=3, notes=("it begins",)):
    """A run in its last epoch, as its log tells it."""
    run = find_or_create_job(workspace, TOY, {"epochs": epochs})
    with run.open_event_log():
        run.record(StateChange("running"))
        for note in notes:
            run.record(Note(note))
        for epoch in range(1, epochs):
            run.record(Progress("epoch", epoch, epochs, "epochs"))
            run.record(Progress("step", 1, 20, "batches", within="epoch"))
            run.record(Metrics({"epoch": epoch} | dict.fromkeys(COLUMNS, 1 / epoch)))
        run.record(
            CurrentValues({"images/s": "412", "GPU memory": "3.1 of 80 GiB", "best": "val_auc 0.861 in epoch 2"})
        )
    return run


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 18), (80, 12), (200, 50)])
@pytest.mark.parametrize("notes", [("it begins",), (LONG,) * 6], ids=["few words", "many"])
def test_a_run_fits_the_window(workspace, columns, rows, notes):
    lines = on_screen(at_work(workspace, 50, notes), columns, rows)
    assert len(lines) <= rows
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    for word in ("epoch", "step", "49/50", "images/s", "0.861", "AUC"):
        assert word in text


def test_the_chart_grows_with_the_window(workspace):
    run = at_work(workspace, 300)
    small, large = (" ".join(on_screen(run, *size)) for size in ((80, 24), (200, 50)))
    assert large.count("─") > 2 * small.count("─") > 0


@pytest.mark.parametrize("failed", [False, True])
def test_a_long_plan_shows_the_running_step(workspace, failed):
    plan = find_or_create_plan(workspace, "long", [Step(f"model-seed{n}", TOY, {"seed": n}) for n in range(40)])
    standing = {f"model-seed{n}": find_or_create_job(workspace, TOY, {"seed": n}) for n in range(30)}
    for name, run in standing.items():
        run.update(state="failed" if failed and name.endswith("seed3") else "done")
    standing["model-seed29"].update(state="paused")
    plan.update(runs={name: run.id for name, run in standing.items()})
    lines = on_screen(plan, 80, 24)
    assert len(lines) <= 24
    text = "\n".join(lines)
    assert f"{28 if failed else 29} of 40 done" in text
    assert "model-seed29" in text
    assert "model-seed30" in text
    assert "model-seed31" not in text
    assert ("✗ model-seed3 " in text) == failed


@pytest.mark.parametrize("columns", range(24, 60))
def test_the_mark_of_a_step_stands_on_the_line_of_its_name(workspace, columns):
    steps = [Step(f"step{seed}", TOY, {"seed": seed}) for seed in range(4)]
    lines = on_screen(find_or_create_plan(workspace, "short", steps), columns, 24)
    assert [line for line in lines if line.rstrip(" │").endswith("·")] == []


def test_the_running_step_is_shown_even_if_later_steps_are_done(workspace):
    plan = find_or_create_plan(workspace, "p", [Step(f"s{seed}", TOY, {"seed": seed}) for seed in (1, 2)])
    first, second = (find_or_create_job(workspace, TOY, {"seed": seed}) for seed in (1, 2))
    for run, said in ((first, "the first"), (second, "the second")):
        with run.open_event_log():
            run.record(Note(said))
    second.update(state="done")
    plan.update(runs={"s1": first.id, "s2": second.id})
    assert "the second" in "\n".join(on_screen(plan, 80, 24))
    with first.hold_lock():
        first.update(state="running")
        assert "the first" in "\n".join(on_screen(plan, 80, 24))


@pytest.mark.alone
def test_a_run_of_many_epochs_does_not_slow_the_screen(workspace):
    run = at_work(workspace, 2000)
    view, console = JobView(run), Console(file=io.StringIO(), width=200, height=50, force_terminal=True)
    view.refresh()
    begun = time.perf_counter()
    for _ in range(5):
        list(console.render(draw_job(view, console, KEYS)))
    assert (time.perf_counter() - begun) / 5 < 0.15, "a look at it takes that long"


@pytest.mark.long
@pytest.mark.alone
def test_a_queue_of_325_steps_is_drawn_in_30_milliseconds(workspace):
    plan = find_or_create_plan(workspace, "long", [Step(f"model{seed}", TOY, {"seed": seed}) for seed in range(325)])
    for seed in range(200):
        run = find_or_create_job(workspace, TOY, {"seed": seed})
        run.update(state="done", seconds=60)
        plan.record_step(f"model{seed}", run.id)
    view, console = JobView(plan), Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    view.refresh()
    begun = time.process_time()
    for _ in range(5):
        view.refresh()
        list(console.render(draw_job(view, console, KEYS)))
    assert (time.process_time() - begun) / 5 < 0.03


def test_the_time_left_for_a_queue_is_that_of_its_finished_runs(workspace):
    plan = find_or_create_plan(workspace, "p", [Step(f"s{seed}", TOY, {"seed": seed}) for seed in range(5)])
    for seed, seconds in enumerate((60, 120)):
        run = find_or_create_job(workspace, TOY, {"seed": seed})
        run.update(state="done", seconds=seconds)
        plan.record_step(f"s{seed}", run.id)
    view = JobView(plan)
    view.refresh()
    assert view.seconds_left == pytest.approx(3 * 90)
    assert "about 4 min left for all" in "\n".join(on_screen(plan, 80, 24))


def test_the_time_left_for_a_queue_is_shown_only_if_that_of_every_step_is_known(workspace):
    steps = [Step("a", TOY, {"epochs": 3}), Step("b", "count", {"target": 3})]
    plan = find_or_create_plan(workspace, "p", steps)
    run = at_work(workspace)
    plan.record_step("a", run.id)
    with run.hold_lock():
        run.update(state="running", started="2026-01-01T00:00:00+00:00")
        view = JobView(plan)
        view.refresh()
        view.current.apply_event(view.current.last_time + 60, Progress("epoch", 2, 3, "epochs"))
        assert view.current.seconds_left > 0
        assert view.seconds_left is None
        plan.skip_step("b")
        view.refresh()
        assert view.seconds_left == view.current.seconds_left


def test_what_cannot_be_counted_is_named_while_it_works(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 3})
    assert "starting" in "\n".join(on_screen(run, 80, 24))
    with run.open_event_log():
        run.record(StateChange("running"))
        run.record(Progress("images", 3, 3, "images"))
        run.record(Progress("testing the differences", 0, 1))
    lines = "\n".join(on_screen(run, 80, 24))
    assert "testing the differences …" in lines
    assert "3/3" not in lines, "a finished count disappears"


def test_the_time_for_all_epochs_is_estimated_within_the_first(workspace):
    view = RunView(find_or_create_job(workspace, TOY, {}))
    times = iter(range(100))
    view.apply_event(next(times), Progress("epoch", 0, 10, "epochs"))
    for step in (1, 2, 3, 4, 5):
        view.apply_event(next(times), Progress("step", step, 8, "batches", within="epoch"))
    assert view.bars["step"].seconds_left == pytest.approx(3)
    assert view.bars["epoch"].seconds_left == pytest.approx(10 * 8 - 5)


def test_epochs_done_before_a_resume_do_not_count_for_the_pace(workspace):
    view = RunView(find_or_create_job(workspace, TOY, {}))
    times = iter(range(100))
    view.apply_event(next(times), Progress("epoch", 3, 10, "epochs"))
    for step in (6, 7, 8):
        view.apply_event(next(times), Progress("step", step, 8, "batches", within="epoch"))
    view.apply_event(next(times), Progress("epoch", 4, 10, "epochs"))
    assert view.bars["epoch"].seconds_left == pytest.approx(6 * 8, rel=0.6)


def chart(validation, training=(), epochs=0, width=17, height=6):
    """The rows of a chart of 8 columns, without their labels."""
    metrics = {"epoch": list(range(1, len(validation) + 1)), "train_auc": list(training), "val_auc": validation}
    return [line[9:] for line in draw_chart(metrics, epochs, width, height).plain.splitlines()[1:-1]]


def test_a_chart_shows_the_whole_run_and_leaves_gaps():
    rising = [float(n) for n in range(1000)]
    assert chart(rising) == ["     ╭──", "   ╭─╯  ", " ╭─╯    ", "─╯      "]
    assert all(line[4:] == "    " for line in chart(rising, epochs=2000)), "half of the epochs are done"
    assert all(line[3] == " " for line in chart([0.5, 0.6, 0.7, float("nan"), 0.9, 0.8, 0.7, 0.6]))
    assert chart([float("nan")]) == []


def test_a_chart_draws_the_score_of_the_task_with_its_best_epoch():
    metrics = {"epoch": [1, 2, 3], "train_auc": [0.7, 0.8, 0.9], "val_loss": [3, 2, 1], "val_auc": [0.6, 0.9, 0.8]}
    legend, *rows = draw_chart(metrics | {"val_mask_loss": [1, 1, 1]}, 3, 40, 8).plain.splitlines()
    assert legend == "AUC  ─ validation 0.800, best 0.900 (epoch 2)   · training 0.900"
    assert any("·" in row for row in rows)


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
    (plan,) = list_plans(workspace)
    assert list(plan.read_status().runs) == ["learn-seed7", "learn-seed8"]


# --- further ----------------------------------------------------------------------------------------------------------


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


def test_a_failure_shows_one_hint(workspace):
    run = find_or_create_job(workspace, "count", {"target": 3, "fail_at": 2})
    finish(run)
    console = Console(file=io.StringIO(), width=100)
    print_end(run, console)
    assert "the toy was told to fail" in console.file.getvalue()
    assert console.file.getvalue().count("What to do") == 1
    assert "runs resume" not in console.file.getvalue()


def test_a_done_run_shows_measured_results_first(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 2})
    finish(run)
    console = Console(file=io.StringIO(), width=100)
    print_job(run, console)
    said = console.file.getvalue()
    known = run.read_status().result["known"]
    assert f"{known:.6g}" in said.partition("Results")[2]


def test_a_done_run_without_plain_results_shows_no_empty_table(workspace):
    (workspace.dataset_folder("d")).mkdir(parents=True)
    (workspace.dataset_folder("d") / "manifest.csv").write_text("")
    (workspace.dataset_folder("d") / ".arrangement").write_text("x")
    run = find_or_create_job(workspace, "look-at-dataset", {"dataset": "d"})
    finish(run)
    console = Console(file=io.StringIO(), width=100)
    print_end(run, console)
    assert "done" in console.file.getvalue()
    assert "Results" not in console.file.getvalue()


def test_a_done_queue_shows_the_result_of_each_run(workspace):
    plan = find_or_create_job(workspace, TOY, {"epochs": 1, "seeds": 2})
    assert execute_plan(plan) == "done"
    console = Console(file=io.StringIO(), width=100)
    print_end(plan, console)
    said = console.file.getvalue()
    assert all(step.name in said for step in plan.read_steps())
    assert [line.split()[2] for line in said.splitlines() if line.startswith("learn-seed")] == ["known", "known"]


def test_a_new_epoch_removes_the_validation_bar_and_a_pause_the_pace(workspace):
    run = find_or_create_job(workspace, TOY, {"epochs": 3})
    with run.open_event_log():
        for epoch in (1, 2):
            run.record(Progress("step", 0, 20, "batches", within="epoch"))
            run.record(Progress("step", 20, 20, "batches", within="epoch"))
            run.record(Progress("validation", 3, 4, "batches"))
            run.record(Progress("epoch", epoch, 3, "epochs"))
        run.record(CurrentValues({"images/s": "412", "best so far": "val auc 0.861"}))
        assert "3/4" in " ".join(on_screen(run, 100, 30))
        run.record(Progress("step", 1, 20, "batches", within="epoch"))
    assert "3/4" not in " ".join(on_screen(run, 100, 30))
    assert "412" in " ".join(on_screen(run, 100, 30))
    run.update(state="paused")
    paused = " ".join(on_screen(run, 100, 30))
    assert "0.861" in paused
    assert "412" not in paused
    assert "left" not in paused
    assert "each" not in paused


def test_a_silent_worker_is_reported_with_the_time(workspace, monkeypatch):
    run = at_work(workspace)
    with run.hold_lock():
        run.update(state="running")
        assert "no sign of life" not in " ".join(on_screen(run, 100, 30))
        monkeypatch.setattr(job_folder, "SILENT_AFTER_SECONDS", 0)
        assert re.search(r"no sign of life since \d\d:\d\d:\d\d", " ".join(on_screen(run, 100, 30)))
