"""The list of jobs is true now, cheap to look at again, and whole even where a job is damaged."""

import json
import os
import shutil
import signal
import time

import pytest

from tests.toy_jobs import finish, toy_run, wait_for_event
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.lookup import find_job, read_runs
from tfm.core.runs.plan import Step


def test_a_worker_that_dies_shows_as_halted_at_the_next_look(workspace):
    run = toy_run(workspace, target=500, seconds_a_step=0.01)
    started = ThisMachine().submit(run)
    wait_for_event(run, 5)
    index = JobIndex(workspace)
    assert [one.state for one in index.runs] == ["running"]
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    index.refresh()
    (listed,) = index.runs
    assert listed.state == "halted"
    assert (listed.progress.name, listed.progress.total) == ("count", 500)
    assert listed.progress.done >= 5


def test_a_damaged_job_hides_no_other(workspace):
    for target in (3, 4, 5):
        toy_run(workspace, target=target)
    plan = find_or_create_plan(workspace, "queue", [Step("one", "count")])
    index = JobIndex(workspace)
    first, second, third = (one.job for one in index.runs)
    (first.folder / "status.json").write_text("{")
    (second.folder / "settings.yaml").unlink()
    (plan.folder / "plan.yaml").write_text("[")
    shutil.rmtree(third.folder)
    index.refresh()
    assert {one.job.id: (one.state, one.stage) for one in index.everything} == {
        first.id: ("damaged", "count"),
        second.id: ("waiting", ""),
        plan.id: ("waiting", ""),
    }


MISTYPED = [
    *([], None, "done", {"created": None}, {"created": "soon"}, {"created": "0001-01-01T00:00:00+14:00"}),
    *({"started": 5}, {"seconds": "long"}, {"result": []}, {"outputs": {}}, {"runs": [1]}, {"state": "flying"}),
]


@pytest.mark.parametrize("content", MISTYPED, ids=str)
def test_a_mistyped_status_is_damaged_and_hides_no_other(workspace, content):
    first, second = toy_run(workspace, target=3), toy_run(workspace, target=4)
    status = first.folder / "status.json"
    known = json.loads(status.read_text())
    status.write_text(json.dumps(known | content if isinstance(content, dict) else content))
    listed = {one.job.id: one for one in JobIndex(workspace).everything}
    assert {name: one.state for name, one in listed.items()} == {first.id: "damaged", second.id: "waiting"}
    assert str(status) in listed[first.id].status.message
    assert [status.state for _, status in read_runs(workspace)].count("damaged") == 1


def test_a_damaged_record_of_a_step_hides_no_plan(workspace):
    plan = find_or_create_plan(workspace, "queue", [Step("one", "count"), Step("two", "count")])
    plan.record_step("one", toy_run(workspace, target=3).id)
    for content in ("{", "[]", '{"run": 5}', '{"other": "x"}'):
        (plan.steps_folder / "two.json").write_text(content)
        assert list(JobIndex(workspace).find(plan.id).steps) == ["one", "two"]
        assert plan.read_step_statuses().keys() == {"one"}


def test_only_equal_names_have_the_end_of_the_id(workspace):
    first, second = toy_run(workspace, target=3), toy_run(workspace, target=4)
    find_or_create_job(workspace, "learn", {})
    names = {one.job.id: one.name for one in JobIndex(workspace).runs}
    assert names.pop(first.id) == f"count_{first.id[-6:]}"
    assert names.pop(second.id) == f"count_{second.id[-6:]}"
    assert list(names.values()) == ["learn"]


def test_a_step_is_named_as_in_its_queue(workspace):
    plan = find_or_create_job(workspace, "learn", {"epochs": 1, "pages": 1, "seeds": 2})
    index = JobIndex(workspace)
    assert index.plans[0].steps == {"learn-seed7": "waiting", "learn-seed8": "waiting"}
    finish(plan)
    index.refresh()
    assert [(one.name, one.owner) for one in index.runs] == [("learn-seed7", plan.id), ("learn-seed8", plan.id)]
    assert (index.plans[0].progress.done, index.plans[0].progress.total) == (2, 2)
    assert [(one.job.id, one.name) for one in index.top] == [(plan.id, "learn, 2 runs")]
    assert find_job(workspace, "learn-seed7").id == plan.read_runs()["learn-seed7"]
    assert find_job(workspace, "learn, 2 runs").id == plan.id
    assert find_job(workspace, find_or_create_job(workspace, "learn", {}).id[11:]).id != plan.id
    assert find_job(workspace, "learn").id not in (plan.id, *plan.read_runs().values()), (
        "a whole name is no part of one"
    )


def test_the_best_score_and_the_time_left_are_known_while_a_run_is_unfinished(workspace):
    run = find_or_create_job(workspace, "learn", {"epochs": 400, "pages": 1, "seconds_a_step": 0.002})
    started = ThisMachine().submit(run)
    wait_for_event(run, 3)
    run.request_pause()
    started.process.wait(timeout=30)
    run.metrics_file.write_text("epoch,val_loss,val_auc\n1,0.7,0.61\n2,0.6,nan\n3,0.6,0.58\n")
    (listed,) = JobIndex(workspace).runs
    assert listed.progress.name == "epoch"
    assert 3 <= listed.progress.done < 400
    assert listed.progress.seconds_left > 0
    assert (listed.score.name, listed.score.value) == ("val_auc", 0.61)


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_a_dismissed_failure_is_shown_again_when_the_run_fails_again(workspace, days):
    run = toy_run(workspace, fail_at=3)
    finish(run)
    failed = time.time() + days * 86400  # the clock was set since then
    os.utime(run.folder / "status.json", (failed, failed))
    index = JobIndex(workspace)
    assert not index.runs[0].is_dismissed
    run.dismiss()
    index.refresh()
    assert index.runs[0].is_dismissed
    finish(run)
    index.refresh()
    assert (index.runs[0].state, index.runs[0].is_dismissed) == ("failed", False)


@pytest.mark.parametrize("kind", ["runs", "plans"])
def test_a_folder_that_is_no_job_is_not_listed(workspace, kind):
    (workspace.root / kind / "notes").mkdir(parents=True)
    (workspace.root / kind / "notes.txt").touch()
    assert JobIndex(workspace).everything == []
