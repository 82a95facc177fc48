"""Runs and plans of the toy that counts, at work in processes of their own."""

import time

from tfm.core.events import Metrics
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.plan import Step
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

TOY = "count"


def toy_run(workspace: Workspace, **given) -> Run:
    return find_or_create_job(workspace, TOY, given)


def finish(job) -> None:
    started = ThisMachine().submit(job)
    assert started.process is not None
    started.process.wait(timeout=60)


def wait_for_event(run: Run, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(isinstance(event, Metrics) for event in run.read_events()) < count:
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.005)


def wait_for_step(plan, name: str) -> None:
    deadline = time.monotonic() + 30
    while name not in plan.read_status().runs:
        assert time.monotonic() < deadline, "the plan did not get that far"
        time.sleep(0.01)


def three_steps(slow: float = 0.0) -> list[Step]:
    return [
        Step("one", TOY, {"target": 20}),
        Step("two", TOY, {"target": 60, "start_from": "@one.run", "seconds_a_step": slow}),
        Step("three", TOY, {"target": 10, "start_from": "@two.run"}),
    ]
