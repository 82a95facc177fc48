"""A queue is edited while it waits or runs, and no step is lost, repeated or started after it was taken out."""

import contextlib
import subprocess

import pytest

from tests.toy_jobs import TOY, finish, wait_for_event, wait_for_step
from tests.toys import learn
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.edit_queue import add_models, keep_model, move_model, remove_model, skip_model
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.lookup import find_run
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.worker import execute_plan


def count_queue(workspace, names: str, slow: int = 0) -> Plan:
    """A step for each letter, each to another number; the first can be slow."""
    queue = [
        Step(name, TOY, {"target": 5 + place if place else 5 + slow, "seconds_a_step": 0.0 if place else 0.01})
        for place, name in enumerate(names)
    ]
    return find_or_create_plan(workspace, "queue", queue)


def names(plan: Plan) -> list[str]:
    return [step.name for step in plan.read_steps()]


def test_steps_that_wait_are_moved_skipped_and_removed_while_another_runs(workspace):
    plan = count_queue(workspace, "abcd", slow=100)
    started = ThisMachine().submit(plan)
    wait_for_step(plan, "a")
    move_model(plan, "d", -9)
    skip_model(plan, "b")
    remove_model(plan, "c")
    for edit in (lambda: move_model(plan, "a", 1), lambda: remove_model(plan, "a")):
        with pytest.raises(RunError, match="a has begun"):
            edit()
    assert names(plan) == ["a", "d", "b"]
    assert started.process.wait(timeout=60) == 0
    assert list(plan.read_runs()) == ["a", "d"]
    assert JobIndex(workspace).find(plan.id).steps == {"a": "done", "d": "done", "b": "skipped"}
    keep_model(plan, "b")
    finish(plan)
    assert list(plan.read_runs()) == ["a", "d", "b"]


def test_a_queue_goes_on_when_the_step_that_runs_is_skipped(workspace):
    plan = count_queue(workspace, "abcd", slow=1000)
    started = ThisMachine().submit(plan)
    wait_for_step(plan, "a")
    skipped = find_run(workspace, plan.read_runs()["a"])
    wait_for_event(skipped, 1)
    skip_model(plan, "a")
    assert started.process.wait(timeout=60) == 0
    assert skipped.read_status().state == "paused"
    assert [status.state for status in plan.read_step_statuses().values()] == ["paused", "done", "done", "done"]


def test_no_step_is_lost_or_repeated_while_a_person_edits_all_the_time(workspace):
    plan = count_queue(workspace, "abcdefghijkl")
    started = ThisMachine().submit(plan)
    moves = 0
    while started.is_working():
        try:
            move_model(plan, names(plan)[-1], -3)
            moves += 1
        except RunError:  # it has begun meanwhile
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(timeout=0.01)
    assert moves > 0
    assert plan.read_status().state == "done", plan.read_status().message
    assert sorted(plan.read_runs()) == list("abcdefghijkl")
    assert len(JobIndex(workspace).runs) == 12


def test_models_are_added_with_the_settings_and_repeats_of_the_others(workspace, classes, monkeypatch):
    monkeypatch.setattr(learn, "COMMAND", learn.COMMAND.__class__(**vars(learn.COMMAND) | {"compared_by": "compare"}))
    plan = find_or_create_job(workspace, "learn", {"epochs": "1", "seeds": 2}, ["Latin"])
    assert add_models(plan, ["Greek", "Lesson"]) == ["Greek-seed7", "Greek-seed8", "Lesson"]
    *_, comparison = plan.read_steps()
    added = next(step for step in plan.read_steps() if step.name == "Greek-seed8")
    assert added.settings == {"epochs": 1, "seed": 8}
    runs = [f"@{model}-seed{seed}.run" for model in ("Latin", "Greek") for seed in (7, 8)]
    assert (comparison.name, comparison.settings) == ("compare", {"runs": runs})
    with pytest.raises(SettingsError, match="Greek is in this queue already"):
        add_models(plan, ["Greek"])
    remove_model(plan, "Latin-seed8")
    assert plan.read_steps()[-1].settings == {"runs": [run for run in runs if run != "@Latin-seed8.run"]}


def test_a_model_that_is_a_plan_is_moved_and_removed_as_a_whole(workspace, classes):
    plan = find_or_create_job(workspace, "learn", {"epochs": 1}, ["Latin", "Lesson", "Greek"])
    move_model(plan, "Lesson", -1)
    assert names(plan) == ["Lesson/first", "Lesson/second", "Latin", "Greek"]
    remove_model(plan, "Lesson")
    assert names(plan) == ["Latin", "Greek"]
    remove_model(plan, "Latin")
    with pytest.raises(SettingsError, match="at least one model"):
        remove_model(plan, "Greek")
    with pytest.raises(SettingsError, match="no model called Latin"):
        skip_model(plan, "Latin")


def test_an_order_in_which_a_step_lacks_what_it_needs_is_refused(workspace):
    queue = [Step("one", TOY, {"target": 3}), Step("two", TOY, {"start_from": "@one.run"}), Step("three", TOY)]
    plan = find_or_create_plan(workspace, "queue", queue)
    with pytest.raises(SettingsError, match="step two needs the result of one"):
        move_model(plan, "two", -1)
    assert names(plan) == ["one", "two", "three"]
    remove_model(plan, "one")
    assert names(plan) == ["three"], "what needs it goes with it"


def test_an_edited_queue_is_not_taken_for_the_one_that_was_asked_for(workspace, classes):
    plan = find_or_create_job(workspace, "learn", {"epochs": 1}, ["Latin", "Greek"])
    remove_model(plan, "Greek")
    assert execute_plan(plan) == "done"
    again = find_or_create_job(workspace, "learn", {"epochs": 1}, ["Latin", "Greek"])
    assert again.id != plan.id
    assert execute_plan(again) == "done"
    assert again.read_runs()["Latin"] == plan.read_runs()["Latin"], "finished work is reused"
