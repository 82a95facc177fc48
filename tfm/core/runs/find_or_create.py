"""From checked settings to a run or a plan in the workspace: find the one that exists, or create it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfm.core import registry
from tfm.core.runs import lookup
from tfm.core.runs.expand_repeats import build_queue, complete_queue_values, split_repeats
from tfm.core.runs.first_weights import check_first_weights
from tfm.core.runs.keys import compute_run_key
from tfm.core.runs.plan import Plan, QueueSettings, Step, check_steps, compute_plan_key, fill_references
from tfm.core.runs.resolve_command_settings import (
    find_preset,
    get_started_command,
    resolve_settings,
)
from tfm.core.runs.resources import read_resources, read_step_resources
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.presets import Preset

if TYPE_CHECKING:
    from tfm.core.runs.executors import Executor


def find_or_create_job(
    workspace: Workspace,
    name: str,
    given: Mapping[str, Any],
    presets: Sequence[str] = (),
    executor: Executor | None = None,
    *,
    needs_weights: bool = False,
) -> Run | Plan:
    """The run or plan of a command. Several presets, a repeat count, or a preset that is a plan give a plan.

    Args:
        executor: Where it will be started: checked before anything is created.
        needs_weights: Also check that the first weights of every model can be reached from this machine.
    """
    given, counts = split_repeats(registry.find_command(name), given)
    if len(presets) > 1 or counts:
        steps = build_queue(workspace, name, given, presets, counts)
        _check_steps_can_run(workspace, steps, executor, needs_weights)
        queue = QueueSettings(name, complete_queue_values(name, given, steps), counts)
        return find_or_create_plan(workspace, name, steps, queue)
    preset = find_preset(workspace, name, *presets)
    name = get_started_command(name, preset)
    found = registry.find_command(name)
    settings = resolve_settings(workspace, name, given, preset)
    if isinstance(found, registry.Planner):
        steps = found.build_steps(settings, workspace)
        _check_steps_can_run(workspace, steps, executor, needs_weights)
        return find_or_create_plan(workspace, preset.name if preset else name, steps)
    if needs_weights:
        label = preset.name if preset else name
        check_first_weights(workspace, [Step(label, name, dict(given), preset.name if preset else None)])
    return find_or_create_run(workspace, registry.find_stage(name), settings, preset, executor=executor)


def _check_steps_can_run(
    workspace: Workspace, steps: list[Step], executor: Executor | None, needs_weights: bool
) -> None:
    if executor:
        executor.check(read_step_resources(workspace, steps).values())
    if needs_weights:
        check_first_weights(workspace, steps)


def find_or_create_run(
    workspace: Workspace,
    stage: registry.Stage,
    settings: Settings,
    preset: Preset | None,
    *,
    fresh: bool = False,
    part_of: str = "",
    executor: Executor | None = None,
) -> Run:
    """The run with the same key: a complete one, else an unfinished one, else a new one.

    Args:
        fresh: Always create a new run.
        part_of: The id of the run that a new run belongs to.
        executor: Where it will be started: checked before anything is created.
    """
    if executor:
        executor.check([read_resources(stage, settings)])
    key = compute_run_key(workspace, stage, settings)
    name = preset.name if preset else None
    with workspace.lock():
        found = None if fresh else _find_run_with_key(workspace, key)
        return found or Run.create(workspace, stage.name, stage.version, settings, name, key, part_of)


def _find_run_with_key(workspace: Workspace, key: str) -> Run | None:
    """The newest complete run, else the newest unfinished one."""
    same = [(run, status.state) for run, status in reversed(lookup.read_runs(workspace)) if status.key == key]
    complete = (run for run, state in same if state == "done" and run.has_intact_outputs())
    unfinished = (run for run, state in same if state != "done")
    return next(complete, None) or next(unfinished, None)


def find_or_create_plan(workspace: Workspace, name: str, steps: list[Step], queue: QueueSettings | None = None) -> Plan:
    """The plan with the same steps, else a new one. A done plan is not reused if a step must run anew.

    Args:
        queue: What a new queue of models was started with.
    """
    check_steps(steps)
    key = compute_plan_key(name, steps)
    is_fresh = any(step.fresh for step in steps)
    with workspace.lock():
        for plan, status in reversed(lookup.read_plans(workspace)):
            if status.key == key and not (is_fresh and status.state == "done") and not plan.was_edited():
                return plan
        return Plan.create(workspace, name, steps, key, queue)


def find_or_create_step_run(plan: Plan, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Run:
    """The run of a step, whose references are filled from the results of the steps before it."""
    preset = find_preset(plan.workspace, step.stage, step.preset)
    settings = resolve_settings(plan.workspace, step.stage, fill_references(step.settings, results), preset)
    stage = registry.find_stage(step.stage)
    if step.fresh:
        own = _find_own_run(plan, step, compute_run_key(plan.workspace, stage, settings))
        if own is not None:
            return own
    return find_or_create_run(plan.workspace, stage, settings, preset, fresh=step.fresh)


def _find_own_run(plan: Plan, step: Step, key: str) -> Run | None:
    """The run that this plan created for a fresh step before it was resumed, if it is still valid."""
    run_id = plan.read_runs().get(step.name)
    for run in lookup.list_runs(plan.workspace):
        status = run.read_status()
        if run.id == run_id and status.key == key and (status.state != "done" or run.has_intact_outputs()):
            return run
    return None
