"""From a name and what was given to a job that stands in the workspace: checked whole before anything is made."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfm.core import hints, registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import inputs as reading
from tfm.core.runs import lookup
from tfm.core.runs.plan import Plan, Step, check_steps, compute_plan_key, fill_references
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField, get_value, list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import check_values, find_fields_without_effect, merge, place_values, resolve
from tfm.core.settings.schema import Settings
from tfm.core.settings.serialize import collect_key_values


def find_or_create_job(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str] = ()
) -> Run | Plan:
    """The run or plan that a name means. Several presets, a word that repeats, or a preset that is a plan make a
    plan."""
    find_started_command(workspace, name, presets)  # refuses a plan among several
    given, counts = split_repeats(registry.find(name), given)
    if len(presets) > 1 or counts:
        return find_or_create_plan(workspace, name, build_queue(workspace, name, given, presets, counts))
    preset = find_preset(workspace, name, *presets)
    name = _started(name, preset)
    found = registry.find(name)
    settings = resolve_settings(workspace, name, given, preset)
    if isinstance(found, registry.Planner):
        return find_or_create_plan(workspace, preset.name if preset else name, found.steps(settings, workspace))
    return find_or_create_run(workspace, registry.find_stage(name), settings, preset)


def split_repeats(found: registry.Kind, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Settings, and how often each word that repeats says to; once is no repeating."""
    words = {repeat.word: repeat.field for repeat in registry.repeats_of(found)}
    counts = {}
    for word in given.keys() & words.keys():
        try:
            counts[word] = words[word].parse(given[word])
        except ValueError as error:
            raise SettingsError(f"{word}: {error}", hint=words[word].question, fields=(word,)) from None
    rest = {name: value for name, value in given.items() if name not in words}
    return rest, {word: count for word, count in counts.items() if count > 1}


def build_queue(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str], counts: Mapping[str, int]
) -> list[Step]:
    """A step for each preset and each value of what is repeated: MODEL-fold2-seed8."""
    chosen = split_values_by_preset(workspace, name, given, presets)
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
    idle = [
        find_names_without_effect(registry.find(_started(name, preset)).settings, preset, given)
        for preset, given in chosen
    ]
    for repeat in registry.repeats_of(registry.find(name)):
        if repeat.word in counts and all(repeat.setting in names for names in idle):
            raise SettingsError(
                f"{repeat.setting} has no effect here, and all {counts[repeat.word]} runs would be the same",
                hint=f"start it without --{repeat.word}",
                fields=(repeat.word,),
            )


def split_values_by_preset(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str]
) -> list[tuple[Preset | None, dict[str, Any]]]:
    """The presets, each with what was given: what has an effect with some of them is not told to the others."""
    chosen = [find_preset(workspace, name, one) for one in presets or (None,)]
    idle = [
        find_names_without_effect(registry.find(_started(name, preset)).settings, preset, given) for preset in chosen
    ]
    with_all = set.intersection(*idle)
    return [
        (preset, {name: value for name, value in given.items() if name in with_all or name not in names})
        for preset, names in zip(chosen, idle, strict=True)
    ]


def find_names_without_effect(settings: type[Settings], preset: Preset | None, given: Mapping[str, Any]) -> set[str]:
    """The names of the settings that have no effect with what a preset and a person said."""
    values = merge(place_values(settings, preset.settings if preset else {}), place_values(settings, given))
    return {field.name for field, _ in find_fields_without_effect(settings, values)}


def _repeated(
    workspace: Workspace, stage: str, given: Mapping[str, Any], preset: Preset | None, counts: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """The values of the repeated settings that have an effect, the last word's fastest."""
    found = registry.find(stage)
    settings = resolve_settings(workspace, stage, given, preset)
    idle = find_names_without_effect(found.settings, preset, given)
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
    given = get_value(settings, find_field(type(settings), repeat.setting))
    first = 1 if given is None else given
    most = repeat.at_most(settings, workspace) if repeat.at_most else None
    if most is not None and first + count - 1 > most:
        raise SettingsError(
            f"{count} {repeat.word} are wanted, counted up from {first}, and there are {most}",
            hint="take fewer",
            fields=(repeat.word,),
        )
    return range(first, first + count)


def find_field(settings: type[Settings], name: str) -> SettingField:
    return next(field for field in list_fields(settings) if field.name == name)


def _started(name: str, preset: Preset | None) -> str:
    """Where a preset must be chosen it says itself what it starts; where one is the default it only sets."""
    found = registry.find(name)
    says_itself = isinstance(found, registry.Stage) and found.default_preset is None
    return preset.stage if preset and says_itself else name


def find_started_command(workspace: Workspace, name: str, presets: Sequence[str]) -> str:
    """What starts: where one preset is chosen that says so itself, that."""
    chosen = {one: _started(name, find_preset(workspace, name, one)) for one in presets}
    plans = [one for one, stage in chosen.items() if isinstance(registry.find(stage), registry.Planner)]
    if plans and len(presets) > 1:
        raise SettingsError(f"{plans[0]} is a plan of several runs, and no part of a queue", hint="start it by itself")
    return next(iter(chosen.values())) if len(presets) == 1 else name


def _step(workspace: Workspace, name: str, stage: str, given: Mapping[str, Any], preset: Preset | None) -> Step:
    settings = resolve_settings(workspace, stage, given, preset)  # says what is wrong before anything is made
    meant = collect_key_values(settings)  # what goes without saying today may not do so when the step's turn comes
    said = [field.name for field in list_fields(type(settings)) if field.is_required or field.name in given]
    values = dict(given) | {name: meant[name] for name in said if name in meant}
    return Step(name, stage, values, preset.name if preset else None)


def find_preset(workspace: Workspace, name: str, preset: str | None = None) -> Preset | None:
    """The preset that was named, or the stage's default one; None for what has no presets."""
    found = registry.find(name)
    if not isinstance(found, registry.Stage) or found.presets is None:
        return None
    preset = preset or found.default_preset
    if preset is None:
        names = workspace.list_presets(found.presets)
        raise SettingsError(f"say which one to {name}", hint="there are: " + ", ".join(names))
    chosen = workspace.load_preset(found.presets, preset)
    _check_by_itself(name, chosen)
    return chosen


def _check_by_itself(name: str, preset: Preset) -> None:
    """What a preset says can be: in a queue of several nobody knows whose setting is meant, so its file is named."""
    try:
        check_values(registry.find(_started(name, preset)).settings, preset.settings)
    except SettingsError as error:
        raise SettingsError(f"{preset.file}: {error.message}", hint=error.hint) from None


def resolve_settings(workspace: Workspace, name: str, given: Mapping[str, Any], preset: Preset | None) -> Settings:
    found = registry.find(name)
    given = reading.complete_values(workspace, found.settings, given)
    settings = resolve(found.settings, preset.settings if preset else {}, given)
    reading.check_inputs(workspace, settings)
    for repeat in registry.repeats_of(found):
        _check_counted(workspace, settings, repeat)
    return settings


def _check_counted(workspace: Workspace, settings: Settings, repeat: registry.Repeat) -> None:
    field = find_field(type(settings), repeat.setting)
    value = get_value(settings, field)
    if repeat.at_most is None or value == field.default:
        return
    most = repeat.at_most(settings, workspace)
    if value > most:
        raise SettingsError(
            f"{field.name}: {value} is wanted, and the {repeat.word} there are: {most}",
            hint=field.question,
            fields=(field.name,),
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
    key = compute_run_key(workspace, stage, settings)
    with workspace.lock():
        same = [] if fresh else [run for run in reversed(lookup.list_runs(workspace)) if run.read_status().key == key]
        standing = (run for run in same if run.read_status().state == "done" and run.has_intact_outputs())
        unfinished = (run for run in same if run.read_status().state != "done")
        found = next(standing, None) or next(unfinished, None)
        if found is not None:
            return found
        name = preset.name if preset else None
        return Run.create(workspace, stage.name, stage.version, settings, name, key, part_of)


def compute_run_key(workspace: Workspace, stage: registry.Stage, settings: Settings) -> str:
    besides = stage.reads_besides(settings) if stage.reads_besides else ()
    return reading.compute_key(workspace, stage.name, stage.version, settings, besides)


def find_or_create_plan(workspace: Workspace, name: str, steps: list[Step]) -> Plan:
    """The plan of these very steps if there is one: to start it again is to resume it. One that is to do something
    anew is done with once it has."""
    check_steps(steps)
    key = compute_plan_key(name, steps)
    anew = any(step.fresh for step in steps)
    with workspace.lock():
        for plan in reversed(lookup.list_plans(workspace)):
            status = plan.read_status()
            if status.key == key and not (anew and status.state == "done"):
                return plan
        return Plan.create(workspace, name, steps, key)


def find_untrained_studies(workspace: Workspace) -> list[Run]:
    """The studies of which nobody has trained the winner yet."""
    standing = [run for run in lookup.list_runs(workspace) if not run.read_status().part_of]
    studies = [run for run in standing if "winner" in run.read_status().result]
    trained = set()
    for run in standing if studies else ():
        with contextlib.suppress(RunError):  # its settings are damaged: it trains nothing
            if run.read_status().state != "failed":
                trained.add(run.read_settings().get("study"))
    return [run for run in studies if run.id not in trained]


def restart_run(run: Run) -> Run:
    """A new run of the same settings; the old one stays as it is."""
    _check_whole(run)
    preset = find_preset(run.workspace, run.read_stage(), run.read_preset())
    return find_or_create_run(
        run.workspace, registry.find_stage(run.read_stage()), load_settings(run), preset, fresh=True
    )


def _check_whole(run: Run) -> None:
    """By itself such a run would stand in comparisons as what it is not: a training that was never part of a choice."""
    study = run.read_status().part_of
    if study:
        raise RunError(
            f"{run.id} belongs to {study} and cannot be continued on its own",
            hint=f"repeat all of it: {run.describe_restart()}; or train what it found: "
            f"{hints.command('train MODEL', study=study)}",
        )


def find_extensible_field(run: Run) -> SettingField | None:
    """The setting by which a run can be taken further, where its stage has one that did something."""
    if run.read_status().part_of:
        return None
    stage = registry.find_stage(run.read_stage())
    idle = {field.name for field, _ in find_fields_without_effect(stage.settings, run.read_settings())}
    return find_field(stage.settings, stage.extends_by) if stage.extends_by and stage.extends_by not in idle else None


def describe_extension(run: Run) -> str:
    """What its stage says of an extension: where a new run goes on from the old one's end, or of what grows."""
    stage = registry.find_stage(run.read_stage())
    assert stage.extends_by is not None
    known = {field.name: field for field in list_fields(stage.settings)}
    return known.get("extends", known[stage.extends_by]).explanation


def extend_run(run: Run, total: Any) -> Run:
    """A new run that goes on from where this one ended, up to a higher total of the setting that may grow."""
    _check_whole(run)
    stage = registry.find_stage(run.read_stage())
    field = find_extensible_field(run)
    if field is None:
        raise RunError(
            f"{run.id} cannot be extended: nothing in it could go on",
            hint=f"do the same anew: {run.describe_restart()}",
        )
    before = get_value(load_settings(run), field)
    origin = {"extends": run.id} if "extends" in stage.settings.model_fields else {}
    settings = resolve(stage.settings, {}, run.read_settings() | {field.name: total} | origin)
    if get_value(settings, field) <= before:
        raise SettingsError(
            f"{run.id} was started for {before} {field.name.replace('_', ' ')} already",
            hint="give the new total, which is higher",
            fields=(field.name,),
        )
    reading.check_inputs(run.workspace, settings)
    return find_or_create_run(
        run.workspace, stage, settings, find_preset(run.workspace, run.read_stage(), run.read_preset())
    )


def find_or_create_step_run(plan: Plan, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Run:
    preset = find_preset(plan.workspace, step.stage, step.preset)
    settings = resolve_settings(plan.workspace, step.stage, fill_references(step.settings, results), preset)
    stage = registry.find_stage(step.stage)
    begun = _begun(plan, step, compute_run_key(plan.workspace, stage, settings)) if step.fresh else None
    return begun or find_or_create_run(plan.workspace, stage, settings, preset, fresh=step.fresh)


def _begun(plan: Plan, step: Step, key: str) -> Run | None:
    """The run that this plan made for the step, as long as it is of use: a plan that is resumed begins nothing anew."""
    own = [run for run in lookup.list_runs(plan.workspace) if run.id == plan.read_status().runs.get(step.name)]
    useful = [
        run
        for run in own
        if run.read_status().key == key and (run.read_status().state != "done" or run.has_intact_outputs())
    ]
    return useful[0] if useful else None


def load_settings(run: Run) -> Settings:
    """As its file says, which only a hand can have made wrong."""
    try:
        return resolve(registry.find_stage(run.read_stage()).settings, {}, run.read_settings())
    except SettingsError as error:
        raise RunError(
            f"{run.settings_file} was changed: {error.message}",
            hint="restore the file; to use other settings, start a new run: "
            f"{hints.command(run.read_stage(), help=True)}",
        ) from None
