"""How a job that is done shows its results."""

import io

from rich.console import Console

from tests.toy_jobs import finish
from tests.ui.screens.drawn_jobs import TOY
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.worker import execute_plan
from tfm.ui.screens.job_end import print_end
from tfm.ui.screens.show_job import print_job


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
