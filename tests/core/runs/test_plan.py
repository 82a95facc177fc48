"""A plan continues in the step where it was stopped, whatever happens to its worker."""

import os
import signal

import pytest

from tests.toy_jobs import TOY, finish, three_steps, wait_for_event, wait_for_step
from tfm.core.errors import SettingsError
from tfm.core.runs import worker
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.lookup import find_run
from tfm.core.runs.plan import Step, fill_references
from tfm.core.runs.workspace import Workspace


def test_a_plan_of_three_steps_resumes_in_the_second(workspace, tmp_path):
    undisturbed = find_or_create_plan(Workspace(tmp_path / "undisturbed"), "toy", three_steps())
    finish(undisturbed)
    plan = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    started = ThisMachine().submit(plan)
    wait_for_step(plan, "two")
    second = find_run(workspace, plan.read_status().runs["two"])
    wait_for_event(second, 15)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert plan.read_status().state == "halted"
    again = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    assert again.id == plan.id
    first_log = len(find_run(workspace, plan.read_status().runs["one"]).read_events())
    finish(again)
    assert plan.read_status().state == "done"
    assert plan.read_status().runs["two"] == second.id
    assert len(find_run(workspace, plan.read_status().runs["one"]).read_events()) == first_log, (
        "the first step is not repeated"
    )
    assert plan.read_status().result["sum"] == undisturbed.read_status().result["sum"]


def test_a_failed_step_stops_only_the_steps_that_need_it(workspace):
    steps = [
        Step("bad", TOY, {"target": 9, "fail_at": 2}),
        Step("reads_bad", TOY, {"target": 5, "start_from": "@bad.run"}),
        Step("free", TOY, {"target": 6}),
    ]
    plan = find_or_create_plan(workspace, "toy", steps)
    finish(plan)
    assert plan.read_status().state == "failed"
    assert plan.read_status().message.startswith("bad:")
    assert set(plan.read_status().runs) == {"bad", "free"}
    assert find_run(workspace, plan.read_status().runs["free"]).read_status().state == "done"


def test_a_halted_step_halts_its_plan_and_both_can_be_resumed(workspace):
    steps = [
        Step("cut", TOY, {"target": 9, "halt_at": 2}),
        Step("reads_cut", TOY, {"target": 5, "start_from": "@cut.run"}),
    ]
    plan = find_or_create_plan(workspace, "toy", steps)
    assert worker.execute_plan(plan) == "halted"
    run = find_run(workspace, plan.read_status().runs["cut"])
    for job in (plan, run):
        assert job.read_status().state == "halted"
        assert job.read_status().message == "the abacus was taken away"
    assert set(plan.read_status().runs) == {"cut"}
    assert worker.execute_plan(plan) == "done"
    assert run.read_status().message == ""


def test_pausing_a_plan_pauses_its_step(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    started = ThisMachine().submit(plan)
    wait_for_step(plan, "two")
    plan.request_pause()
    assert started.process.wait(timeout=30) == worker.PAUSED_EXIT_STATUS
    assert plan.read_status().state == "paused"
    finish(plan)
    assert plan.read_status().state == "done"


def test_a_plan_with_an_invalid_file_fails_with_a_message(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps())
    text = (plan.folder / "plan.yaml").read_text()
    (plan.folder / "plan.yaml").write_text(text.replace("@one.run", "@onne.run"))
    finish(plan)
    assert plan.read_status().state == "failed"
    assert "onne" in plan.read_status().message
    (plan.folder / "plan.yaml").write_text("[")
    finish(plan)
    assert "plan.yaml is damaged" in plan.read_status().message


def test_an_old_pause_request_does_not_stop_a_resumed_plan(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps())
    finish(plan)
    step = find_run(workspace, plan.read_status().runs["two"])
    step.update(state="paused")
    step.request_pause()
    finish(plan)
    assert plan.read_status().state == "done"


def test_references_are_filled_at_every_depth():
    settings = {"runs": ["@a.run", "@b.run"], "deep": {"x": "@a.sum"}, "plain": 3}
    results = {"a": {"run": "r1", "sum": 5}, "b": {"run": "r2"}}
    assert fill_references(settings, results) == {"runs": ["r1", "r2"], "deep": {"x": 5}, "plain": 3}
    with pytest.raises(SettingsError, match="has no"):
        fill_references({"x": "@b.sum"}, results)
