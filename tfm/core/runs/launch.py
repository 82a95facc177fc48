"""From a name and what was given to a job that stands in the workspace: checked whole before anything is made."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfm.core import registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import inputs as reading
from tfm.core.runs import lookup
from tfm.core.runs.plan import Plan, Step, check, filled, key_of
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import Leaf, leaves, value_at
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import check_values, merged, nested, resolve, without_effect
from tfm.core.settings.schema import Settings
from tfm.core.settings.serialize import differing


def job_for(workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str] = ()) -> Run | Plan:
    """The run or plan that a name means. Several presets, a word that repeats, or a preset that is a plan make a
    plan."""
    started(workspace, name, presets)  # refuses a plan among several
    given, counts = parted(registry.find(name), given)
    if len(presets) > 1 or counts:
        return find_or_create_plan(workspace, name, queue(workspace, name, given, presets, counts))
    preset = chosen_preset(workspace, name, *presets)
    name = _started(name, preset)
    found = registry.find(name)
    settings = resolved_settings(workspace, name, given, preset)
    if isinstance(found, registry.Planner):
        return find_or_create_plan(workspace, preset.name if preset else name, found.steps(settings, workspace))
    return find_or_create_run(workspace, registry.find_stage(name), settings, preset)


def parted(found: registry.Kind, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Settings, and how often each word that repeats says to; once is no repeating."""
    words = {repeat.word: repeat.leaf for repeat in registry.repeats_of(found)}
    counts = {}
    for word in given.keys() & words.keys():
        try:
            counts[word] = words[word].parse(given[word])
        except ValueError as error:
            raise SettingsError(f"{word}: {error}", hint=words[word].question, fields=(word,)) from None
    rest = {name: value for name, value in given.items() if name not in words}
    return rest, {word: count for word, count in counts.items() if count > 1}


def queue(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str], counts: Mapping[str, int]
) -> list[Step]:
    """A step for each preset and each value of what is repeated: MODEL-fold2-seed8."""
    chosen = for_each(workspace, name, given, presets)
    _check_repeatable(name, chosen, counts)
    steps = []
    for preset, own in chosen:
        stage = _started(name, preset)
        for values in _repeated(workspace, stage, own, preset, counts):
            words = [
                preset.name if preset else stage.rpartition(".")[2],
                *(f"{setting}{value}" for setting, value in values.items()),
            ]
            steps.append(_step(workspace, "-".join(words), stage, {**own, **values}, preset))
    return steps


def _check_repeatable(
    name: str, chosen: Sequence[tuple[Preset | None, Mapping[str, Any]]], counts: Mapping[str, int]
) -> None:
    idle = [idle_with(registry.find(_started(name, preset)).settings, preset, given) for preset, given in chosen]
    for repeat in registry.repeats_of(registry.find(name)):
        if repeat.word in counts and all(repeat.setting in names for names in idle):
            raise SettingsError(
                f"{repeat.setting} has no effect here, and all {counts[repeat.word]} runs would be the same",
                hint=f"start it without --{repeat.word}",
                fields=(repeat.word,),
            )


def for_each(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str]
) -> list[tuple[Preset | None, dict[str, Any]]]:
    """The presets, each with what was given: what has an effect with some of them is not told to the others."""
    chosen = [chosen_preset(workspace, name, one) for one in presets or (None,)]
    idle = [idle_with(registry.find(_started(name, preset)).settings, preset, given) for preset in chosen]
    with_all = set.intersection(*idle)
    return [
        (preset, {name: value for name, value in given.items() if name in with_all or name not in names})
        for preset, names in zip(chosen, idle, strict=True)
    ]


def idle_with(settings: type[Settings], preset: Preset | None, given: Mapping[str, Any]) -> set[str]:
    """The names of the settings that have no effect with what a preset and a person said."""
    values = merged(nested(settings, preset.settings if preset else {}), nested(settings, given))
    return {leaf.name for leaf, _ in without_effect(settings, values)}


def _repeated(
    workspace: Workspace, stage: str, given: Mapping[str, Any], preset: Preset | None, counts: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """The values of the repeated settings that have an effect, the last word's fastest."""
    found = registry.find(stage)
    settings = resolved_settings(workspace, stage, given, preset)
    idle = idle_with(found.settings, preset, given)
    known = [repeat for repeat in registry.repeats_of(found) if repeat.word in counts]
    repeated = [repeat for repeat in known if repeat.setting not in idle]
    unknown = counts.keys() - {repeat.word for repeat in known}
    if unknown:
        raise SettingsError(
            f"{preset.name if preset else stage} knows no {', '.join(sorted(unknown))}",
            hint=f"start it without --{min(unknown)}",
            fields=tuple(unknown),
        )
    ranges = [_values(workspace, settings, repeat, counts[repeat.word]) for repeat in repeated]
    for values in itertools.product(*ranges):
        yield dict(zip((repeat.setting for repeat in repeated), values, strict=True))


def _values(workspace: Workspace, settings: Settings, repeat: registry.Repeat, count: int) -> range:
    given = value_at(settings, leaf_of(type(settings), repeat.setting))
    first = 1 if given is None else given
    most = repeat.at_most(settings, workspace) if repeat.at_most else None
    if most is not None and first + count - 1 > most:
        raise SettingsError(
            f"{count} {repeat.word} are wanted, counted up from {first}, and there are {most}",
            hint="take fewer",
            fields=(repeat.word,),
        )
    return range(first, first + count)


def leaf_of(settings: type[Settings], name: str) -> Leaf:
    return next(leaf for leaf in leaves(settings) if leaf.name == name)


def _started(name: str, preset: Preset | None) -> str:
    """Where a preset must be chosen it says itself what it starts; where one is the default it only sets."""
    found = registry.find(name)
    says_itself = isinstance(found, registry.Stage) and found.default_preset is None
    return preset.stage if preset and says_itself else name


def started(workspace: Workspace, name: str, presets: Sequence[str]) -> str:
    """What starts: where one preset is chosen that says so itself, that."""
    chosen = {one: _started(name, chosen_preset(workspace, name, one)) for one in presets}
    plans = [one for one, stage in chosen.items() if isinstance(registry.find(stage), registry.Planner)]
    if plans and len(presets) > 1:
        raise SettingsError(f"{plans[0]} is a plan of several runs, and no part of a queue", hint="start it by itself")
    return next(iter(chosen.values())) if len(presets) == 1 else name


def _step(workspace: Workspace, name: str, stage: str, given: Mapping[str, Any], preset: Preset | None) -> Step:
    settings = resolved_settings(workspace, stage, given, preset)  # says what is wrong before anything is made
    meant = differing(settings)  # what goes without saying today may not do so when the step's turn comes
    said = [leaf.name for leaf in leaves(type(settings)) if leaf.required or leaf.name in given]
    values = dict(given) | {name: meant[name] for name in said if name in meant}
    return Step(name, stage, values, preset.name if preset else None)


def chosen_preset(workspace: Workspace, name: str, preset: str | None = None) -> Preset | None:
    """The preset that was named, or the stage's default one; None for what has no presets."""
    found = registry.find(name)
    if not isinstance(found, registry.Stage) or found.presets is None:
        return None
    preset = preset or found.default_preset
    if preset is None:
        names = workspace.preset_names(found.presets)
        raise SettingsError(f"say which one to {name}", hint="there are: " + ", ".join(names))
    chosen = workspace.preset(found.presets, preset)
    _check_by_itself(name, chosen)
    return chosen


def _check_by_itself(name: str, preset: Preset) -> None:
    """What a preset says can be: in a queue of several nobody knows whose setting is meant, so its file is named."""
    try:
        check_values(registry.find(_started(name, preset)).settings, preset.settings)
    except SettingsError as error:
        raise SettingsError(f"{preset.file}: {error.message}", hint=error.hint) from None


def resolved_settings(workspace: Workspace, name: str, given: Mapping[str, Any], preset: Preset | None) -> Settings:
    found = registry.find(name)
    given = reading.meant(workspace, found.settings, given)
    settings = resolve(found.settings, preset.settings if preset else {}, given)
    reading.check_reads(workspace, settings)
    for repeat in registry.repeats_of(found):
        _check_counted(workspace, settings, repeat)
    return settings


def _check_counted(workspace: Workspace, settings: Settings, repeat: registry.Repeat) -> None:
    leaf = leaf_of(type(settings), repeat.setting)
    value = value_at(settings, leaf)
    if repeat.at_most is None or value == leaf.default:
        return
    most = repeat.at_most(settings, workspace)
    if value > most:
        raise SettingsError(
            f"{leaf.name}: {value} is wanted, and the {repeat.word} there are: {most}",
            hint=leaf.question,
            fields=(leaf.name,),
        )


def find_or_create_run(
    workspace: Workspace,
    stage: registry.Stage,
    settings: Settings,
    preset: Preset | None,
    *,
    fresh: bool = False,
    part_of: str = "",
) -> Run:
    """The run of these very settings on these very inputs: one whose work stands, else one that can go on, else a new
    one, which is `part_of` another run or stands for itself."""
    key = key_of_run(workspace, stage, settings)
    with workspace.locked():
        same = [] if fresh else [run for run in reversed(lookup.runs(workspace)) if run.read_status().key == key]
        standing = (run for run in same if run.read_status().state == "done" and run.has_intact_outputs())
        unfinished = (run for run in same if run.read_status().state != "done")
        found = next(standing, None) or next(unfinished, None)
        if found is not None:
            return found
        name = preset.name if preset else None
        return Run.create(workspace, stage.name, stage.version, settings, name, key, part_of)


def key_of_run(workspace: Workspace, stage: registry.Stage, settings: Settings) -> str:
    besides = stage.reads_besides(settings) if stage.reads_besides else ()
    return reading.key(workspace, stage.name, stage.version, settings, besides)


def find_or_create_plan(workspace: Workspace, name: str, steps: list[Step]) -> Plan:
    """The plan of these very steps if there is one: to start it again is to resume it. One that is to do something
    anew is done with once it has."""
    check(steps)
    key = key_of(name, steps)
    anew = any(step.fresh for step in steps)
    with workspace.locked():
        for plan in reversed(lookup.plans(workspace)):
            status = plan.read_status()
            if status.key == key and not (anew and status.state == "done"):
                return plan
        return Plan.create(workspace, name, steps, key)


def untrained_winners(workspace: Workspace) -> list[Run]:
    """The studies of which nobody has trained the winner yet."""
    standing = [run for run in lookup.runs(workspace) if not run.read_status().part_of]
    studies = [run for run in standing if "winner" in run.read_status().result]
    trained = set()
    for run in standing if studies else ():
        with contextlib.suppress(RunError):  # its settings are damaged: it trains nothing
            if run.read_status().state != "failed":
                trained.add(run.read_settings().get("study"))
    return [run for run in studies if run.id not in trained]


def restarted(run: Run) -> Run:
    """A new run of the same settings; the old one stays as it is."""
    _check_whole(run)
    preset = chosen_preset(run.workspace, run.read_stage(), run.read_preset())
    return find_or_create_run(
        run.workspace, registry.find_stage(run.read_stage()), settings_of(run), preset, fresh=True
    )


def _check_whole(run: Run) -> None:
    """By itself such a run would stand in comparisons as what it is not: a training that was never part of a choice."""
    study = run.read_status().part_of
    if study:
        raise RunError(
            f"{run.id} belongs to {study} and cannot be continued on its own",
            hint=f"repeat all of it: {run.describe_restart()}; or train what it found: `python wizard.py train MODEL "
            f"--study {study}`",
        )


def growing(run: Run) -> Leaf | None:
    """The setting by which a run can be taken further, where its stage has one that did something."""
    if run.read_status().part_of:
        return None
    stage = registry.find_stage(run.read_stage())
    idle = {leaf.name for leaf, _ in without_effect(stage.settings, run.read_settings())}
    return leaf_of(stage.settings, stage.extends_by) if stage.extends_by and stage.extends_by not in idle else None


def how_it_goes_on(run: Run) -> str:
    """What its stage says of an extension: where a new run goes on from the old one's end, or of what grows."""
    stage = registry.find_stage(run.read_stage())
    assert stage.extends_by is not None
    known = {leaf.name: leaf for leaf in leaves(stage.settings)}
    return known.get("extends", known[stage.extends_by]).explanation


def extended(run: Run, total: Any) -> Run:
    """A new run that goes on from where this one ended, up to a higher total of the setting that may grow."""
    _check_whole(run)
    stage = registry.find_stage(run.read_stage())
    leaf = growing(run)
    if leaf is None:
        raise RunError(
            f"{run.id} cannot be extended: nothing in it could go on",
            hint=f"do the same anew: {run.describe_restart()}",
        )
    before = value_at(settings_of(run), leaf)
    origin = {"extends": run.id} if "extends" in stage.settings.model_fields else {}
    settings = resolve(stage.settings, {}, run.read_settings() | {leaf.name: total} | origin)
    if value_at(settings, leaf) <= before:
        raise SettingsError(
            f"{run.id} was started for {before} {leaf.name.replace('_', ' ')} already",
            hint="give the new total, which is higher",
            fields=(leaf.name,),
        )
    reading.check_reads(run.workspace, settings)
    return find_or_create_run(
        run.workspace, stage, settings, chosen_preset(run.workspace, run.read_stage(), run.read_preset())
    )


def run_of_step(plan: Plan, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Run:
    preset = chosen_preset(plan.workspace, step.stage, step.preset)
    settings = resolved_settings(plan.workspace, step.stage, filled(step.settings, results), preset)
    stage = registry.find_stage(step.stage)
    begun = _begun(plan, step, key_of_run(plan.workspace, stage, settings)) if step.fresh else None
    return begun or find_or_create_run(plan.workspace, stage, settings, preset, fresh=step.fresh)


def _begun(plan: Plan, step: Step, key: str) -> Run | None:
    """The run that this plan made for the step, as long as it is of use: a plan that is resumed begins nothing anew."""
    own = [run for run in lookup.runs(plan.workspace) if run.id == plan.read_status().runs.get(step.name)]
    useful = [
        run
        for run in own
        if run.read_status().key == key and (run.read_status().state != "done" or run.has_intact_outputs())
    ]
    return useful[0] if useful else None


def settings_of(run: Run) -> Settings:
    """As its file says, which only a hand can have made wrong."""
    try:
        return resolve(registry.find_stage(run.read_stage()).settings, {}, run.read_settings())
    except SettingsError as error:
        raise RunError(
            f"{run.settings_file} was changed: {error.message}",
            hint="restore the file; to use other settings, start a new run: "
            f"`python wizard.py {run.read_stage()} --help`",
        ) from None
