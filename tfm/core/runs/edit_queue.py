"""Edit a queue while it waits, runs or is paused: move, skip, remove and add models.

A model that is a plan has several steps, named like ResNet50_RF/head; they are edited together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from tfm.core import hints, registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.expand_repeats import build_queue, find_useless_names
from tfm.core.runs.plan import Plan, QueueSettings, Step, check_steps
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import read_placement
from tfm.core.settings.presets import suggest_names


def group_steps(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """The steps of each model of a queue, in their order."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.name.partition("/")[0], []).append(step)
    return groups


def skip_model(plan: Plan, model: str) -> None:
    """Leave a model out until `keep_model`. If it is being trained, it is paused, and the queue goes on."""
    _check_is_here(plan)
    for step in _select(plan, plan.read_steps(), model):
        plan.skip_step(step.name)
        run_id = plan.read_runs().get(step.name)
        if run_id and plan.is_alive() and (plan.workspace.runs_folder / run_id).is_dir():
            run = Run(plan.workspace.runs_folder / run_id, plan.workspace)
            if run.is_alive():
                run.request_pause()


def keep_model(plan: Plan, model: str) -> None:
    """Take a skipped model back into the queue."""
    for step in _select(plan, plan.read_steps(), model):
        plan.withdraw_skip(step.name)


def remove_model(plan: Plan, model: str) -> None:
    """Remove a model that has not begun, and the steps that need it. A comparison goes on without it."""
    _check_is_here(plan)
    with plan.lock_steps():
        steps = plan.read_steps()
        gone = {step.name for step in _select(plan, steps, model)}
        _check_has_not_begun(plan, model, gone)
        left = leave_out_of_comparisons(steps, gone)
        for step in left:  # each after the steps that it needs
            gone |= {step.name} if step.find_needed_steps() & gone else set()
        left = [step for step in left if step.name not in gone]
        if not left:
            raise SettingsError(
                "a queue needs at least one model", hint=f"remove all of it: {hints.command('runs remove', plan.id)}"
            )
        plan.write_steps(left)


def move_model(plan: Plan, model: str, places: int) -> None:
    """Move a model among those that have not begun. A negative number of places is earlier."""
    _check_is_here(plan)
    with plan.lock_steps():
        steps = plan.read_steps()
        moved = _select(plan, steps, model)
        _check_has_not_begun(plan, model, {step.name for step in moved})
        groups, begun = group_steps(steps), plan.read_begun_steps()
        waiting = [name for name in groups if begun.isdisjoint(step.name for step in groups[name])]
        place = min(max(waiting.index(model) + places, 0), len(waiting) - 1)
        waiting.remove(model)
        waiting.insert(place, model)
        order = [*(name for name in groups if name not in waiting), *waiting]
        steps = [step for name in order for step in groups[name]]
        check_steps(steps)
        plan.write_steps(steps)


def add_models(plan: Plan, presets: Sequence[str]) -> list[str]:
    """Add models with the settings, folds and seeds of the others, before the comparison. Returns their names."""
    queue = read_queue(plan)
    comparison = registry.find_command(queue.command).compared_by
    found = [find_preset(plan.workspace, queue.command, name) for name in presets]
    useless = set.intersection(*(find_useless_names(queue.command, preset, queue.given) for preset in found))
    given = {name: value for name, value in queue.given.items() if name not in useless}  # they suit the other models
    repeats = registry.find_command(queue.command).repeats
    counted = [one for one in repeats if one.word in queue.counts and one.setting not in useless]
    counts = {one.word: queue.counts[one.word] for one in counted}
    built = build_queue(plan.workspace, queue.command, given, presets, counts)
    with plan.lock_steps():
        steps = plan.read_steps()
        added = [step for step in built if step.name not in {one.name for one in steps} and step.name != comparison]
        if not added:
            raise SettingsError(f"{', '.join(presets)} is in this queue already", hint="choose another model")
        compared = [run for step in built if step.name == comparison for run in step.settings["runs"]]
        last = [step for step in steps if step.name == comparison]
        last = [replace(one, settings={"runs": [*dict.fromkeys([*one.settings["runs"], *compared])]}) for one in last]
        plan.write_steps([*(step for step in steps if step.name != comparison), *added, *last])
    return list(group_steps(added))


def read_queue(plan: Plan) -> QueueSettings:
    """What a queue was started with. Raises RunError if no model can be added."""
    _check_is_here(plan)
    queue = plan.read_queue()
    if queue is None:
        raise RunError(f"{plan.id} is no queue of models", hint="start them as another queue")
    return queue


def leave_out_of_comparisons(steps: Sequence[Step], names: AbstractSet[str]) -> list[Step]:
    """The steps, with these ones left out of the comparison that ends a queue."""
    if not names:
        return list(steps)
    comparisons = {registry.find_command(step.stage).compared_by for step in steps}
    references = tuple(f"@{name}." for name in names)
    kept = []
    for step in steps:
        if step.stage not in comparisons:
            kept.append(step)
        elif left := [run for run in step.settings["runs"] if not run.startswith(references)]:
            kept.append(replace(step, settings=step.settings | {"runs": left}))
    return kept


def _select(plan: Plan, steps: Sequence[Step], model: str) -> list[Step]:
    groups = group_steps(steps)
    if model not in groups:
        raise SettingsError(f"{plan.id} has no model called {model}", hint=suggest_names(model, list(groups)))
    return groups[model]


def _check_is_here(plan: Plan) -> None:
    if read_placement(plan.folder) is not None and plan.is_alive():
        raise RunError(
            f"{plan.id} is in the queue of a cluster, which has its order already",
            hint=f"pause it first: {hints.command('runs pause', plan.id)}",
        )


def _check_has_not_begun(plan: Plan, model: str, steps: AbstractSet[str]) -> None:
    if steps & plan.read_begun_steps():
        raise RunError(
            f"{model} has begun: it can only be skipped",
            hint=f"see {hints.command('runs queue', plan.id, help=True)}",
        )
