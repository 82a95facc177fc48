"""A run at work: all of it within the window, whatever it says."""

import io
import re
import time

import pytest
from rich.console import Console

from tests.ui.screens.drawn_jobs import KEYS, LONG, TOY, at_work, on_screen
from tfm.core.events import CurrentValues, Note, Progress, StateChange
from tfm.core.runs import job_folder
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.ui.chart import draw_chart
from tfm.ui.job_view import JobView
from tfm.ui.run_state import RunView
from tfm.ui.screens.draw_job import draw_job


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
