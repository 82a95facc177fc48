"""From a name and what was given to a job that stands in the workspace: checked whole before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfm.core import jobs, reading, registry
from tfm.core.errors import SettingsError
from tfm.core.offers import Preset
from tfm.core.plan import Plan, Step, check, filled, key_of
from tfm.core.run import Run
from tfm.core.settings import Settings, leaves, resolve
from tfm.core.workspace import Workspace
from tfm.core.written import differing


def job_for(workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str] = ()) -> Run | Plan:
    """The run or plan that a name means. Several presets, or a preset that is a plan, make a plan."""
    if len(presets) > 1:
        return find_or_create_plan(workspace, name, [_step(workspace, name, given, preset) for preset in presets])
    preset = chosen_preset(workspace, name, *presets)
    name = _started(name, preset)
    found = registry.find(name)
    settings = resolved_settings(workspace, name, given, preset)
    if isinstance(found, registry.Planner):
        return find_or_create_plan(workspace, preset.name if preset else name, found.steps(settings, workspace))
    return find_or_create_run(workspace, registry.find_stage(name), settings, preset)


def _started(name: str, preset: Preset | None) -> str:
    """Where a preset must be chosen it says itself what it starts; where one is the default it only sets."""
    found = registry.find(name)
    says_itself = isinstance(found, registry.Stage) and found.default_preset is None
    return preset.stage if preset and says_itself else name


def _step(workspace: Workspace, name: str, given: Mapping[str, Any], preset_name: str) -> Step:
    preset = chosen_preset(workspace, name, preset_name)
    stage = _started(name, preset)
    settings = resolved_settings(workspace, stage, given, preset)  # says what is wrong before anything is made
    meant = differing(settings)  # what goes without saying today may not do so when the step's turn comes
    said = [leaf.name for leaf in leaves(type(settings)) if leaf.required or leaf.name in given]
    return Step(preset_name, stage, dict(given) | {name: meant[name] for name in said if name in meant}, preset_name)


def chosen_preset(workspace: Workspace, name: str, preset: str | None = None) -> Preset | None:
    """The preset that was named, or the stage's default one; None for what has no presets."""
    found = registry.find(name)
    if not isinstance(found, registry.Stage) or found.presets is None:
        return None
    preset = preset or found.default_preset
    if preset is None:
        names = workspace.preset_names(found.presets)
        raise SettingsError(f"say which one to {name}", hint="there are: " + ", ".join(names))
    return workspace.preset(found.presets, preset)


def resolved_settings(workspace: Workspace, name: str, given: Mapping[str, Any], preset: Preset | None) -> Settings:
    found = registry.find(name)
    given = reading.meant(workspace, found.settings, given)
    settings = resolve(found.settings, preset.settings if preset else {}, given)
    reading.check_reads(workspace, settings)
    return settings


def find_or_create_run(
    workspace: Workspace, stage: registry.Stage, settings: Settings, preset: Preset | None, *, fresh: bool = False
) -> Run:
    """The run of these very settings on these very inputs: one whose work stands, else one that can go on, else a new
    one."""
    key = key_of_run(workspace, stage, settings)
    with workspace.locked():
        same = [] if fresh else [run for run in reversed(jobs.runs(workspace)) if run.status.key == key]
        standing = (run for run in same if run.status.state == "done" and run.outputs_stand())
        unfinished = (run for run in same if run.status.state != "done")
        found = next(standing, None) or next(unfinished, None)
        if found is not None:
            return found
        return Run.create(workspace, stage.name, stage.version, settings, preset.name if preset else None, key)


def key_of_run(workspace: Workspace, stage: registry.Stage, settings: Settings) -> str:
    besides = stage.reads_besides(settings) if stage.reads_besides else ()
    return reading.key(workspace, stage.name, stage.version, settings, besides)


def find_or_create_plan(workspace: Workspace, name: str, steps: list[Step]) -> Plan:
    """The plan of these very steps if there is one: to start it again is to resume it."""
    check(steps)
    key = key_of(name, steps)
    with workspace.locked():
        for plan in reversed(jobs.plans(workspace)):
            if plan.status.key == key:
                return plan
        return Plan.create(workspace, name, steps, key)


def restarted(run: Run) -> Run:
    """A new run of the same settings; the old one stays as it is."""
    preset = chosen_preset(run.workspace, run.stage, run.preset)
    return find_or_create_run(run.workspace, registry.find_stage(run.stage), settings_of(run), preset, fresh=True)


def run_of_step(plan: Plan, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Run:
    preset = chosen_preset(plan.workspace, step.stage, step.preset)
    settings = resolved_settings(plan.workspace, step.stage, filled(step.settings, results), preset)
    return find_or_create_run(plan.workspace, registry.find_stage(step.stage), settings, preset)


def settings_of(run: Run) -> Settings:
    return resolve(registry.find_stage(run.stage).settings, {}, run.given_settings)
