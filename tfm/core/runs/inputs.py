"""The inputs that settings name: list them, complete what was not given, and check that they exist.

How an input's content enters a run's key is in `keys`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tfm.core import hints
from tfm.core.errors import RunError, SettingsError
from tfm.core.events import Note
from tfm.core.runs import lookup
from tfm.core.runs.job_folder import Status
from tfm.core.runs.matching_products import PARTNERS, select_matching
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import PRODUCT_FILES, Workspace
from tfm.core.settings.base import Input, Settings
from tfm.core.settings.fields import SettingField, find_field, get_value, list_fields

HOW_TO_GET_PRODUCT = {
    "dataset": f"organize a download first: {hints.command('organize DOWNLOAD')}",
    "cache": f"preprocess a dataset first: {hints.command('preprocess')}",
}

_RUN_PREFIX = "run:"  # before the id of a run whose weights are read


def list_inputs(settings: Settings) -> Iterator[tuple[SettingField, Input, str]]:
    """Each input that the settings name: its field, its kind and its name."""
    for field in list_fields(type(settings)):
        if field.input:
            value = get_value(settings, field)
            for name in value if isinstance(value, list | tuple) else [value]:
                if field.input.kind == "weights" and str(name).startswith(_RUN_PREFIX):
                    yield field, Input("run"), str(name).removeprefix(_RUN_PREFIX)
                elif name is not None:
                    yield field, field.input, str(name)


def list_readable_runs(workspace: Workspace, field: SettingField) -> list[Run]:
    """List the complete runs to choose from. Runs that belong to another run are valid, but not listed."""
    return _select_made_by(field, lookup.read_runs(workspace))


def _select_made_by(field: SettingField, runs: Iterable[tuple[Run, Status]]) -> list[Run]:
    assert field.input is not None
    made = find_readable_runs(runs)
    return [run for run, stage in made if not field.input.made_by or stage in field.input.made_by]


def list_runs_with_weights(workspace: Workspace) -> list[tuple[Run, str]]:
    """The complete runs that trained a network, the newest first, with the names of their models."""
    made = [(run, status) for run, status in lookup.read_runs(workspace) if run.best_checkpoint.is_file()]
    models = {run.id: str(status.result.get("model") or "") for run, status in made}
    return [(run, models[run.id]) for run, _ in reversed(find_readable_runs(made))]


def list_all_runs(workspace: Workspace, field: SettingField) -> list[str]:
    """The runs that an empty list stands for: all that can be read, except those with damaged outputs or facts."""
    return [run.id for run in list_readable_runs(workspace, field) if not _find_damage(run)]


def _find_damage(run: Run) -> str:
    """What is damaged in a run that is done, and what to do; empty if nothing is."""
    try:
        run.read_environment()
    except RunError as error:
        return f"{error.message}; {error.hint}"
    if run.has_intact_outputs():
        return ""
    return f"its outputs are missing or changed. Repeat it: {run.describe_restart()}"


def find_readable_runs(runs: Iterable[tuple[Run, Status]]) -> list[tuple[Run, str]]:
    """The runs that another run can read, with their stages. A run with damaged settings is none of them."""
    found = []
    for run, status in runs:
        if status.state == "done" and not status.part_of:
            with contextlib.suppress(RunError):
                found.append((run, run.read_stage()))
    return found


def report_skipped_runs(workspace: Workspace, settings: Settings, setting: str) -> Iterator[Note]:
    """Report the runs that `complete_values` skipped because they are damaged.

    If the list also lacks an intact run, a person chose it, and nothing was skipped.
    """
    field = find_field(type(settings), setting)
    runs = lookup.read_runs(workspace)
    others = [run for run in _select_made_by(field, runs) if run.id not in get_value(settings, field)]
    damages = {run.id: _find_damage(run) for run in others} | dict(_find_unreadable_runs(field, runs))
    if all(damages.values()):
        for name, damage in damages.items():
            yield Note(f"{name} is left out: {damage}", "warning")


def _find_unreadable_runs(field: SettingField, runs: Iterable[tuple[Run, Status]]) -> Iterator[tuple[str, str]]:
    """The runs whose status or settings are damaged, which are in no list, unless they are of other commands."""
    assert field.input is not None
    for run, status in runs:
        try:
            stage = run.read_stage()
        except RunError as error:
            if status.state in ("done", "damaged"):
                yield run.id, f"{error.message}; {error.hint}"
        else:
            if status.state == "damaged" and (not field.input.made_by or stage in field.input.made_by):
                yield run.id, f"{status.message}; {status.hint}"


# --- complete ---------------------------------------------------------------------------------------------------------


def complete_values(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the inputs that need no choice to the given values.

    These are the only dataset or cache of the workspace, all readable runs for an empty list of runs, the full ids of
    runs named in part, and the values that the result of such a run contains.
    """
    values = read_values_of_runs(workspace, settings, given) | dict(given)
    for field in list_fields(settings):
        if field.input is None:
            continue
        kind, value = field.input.kind, field.parse_text(given.get(field.name))
        if kind == "run" and value:
            ids = [_find_run(workspace, field, str(name)).id for name in (value if field.is_list else [value])]
            values[field.name] = ids if field.is_list else ids[0]
        elif kind == "weights" and value and str(value).startswith(_RUN_PREFIX):
            values[field.name] = _RUN_PREFIX + _find_run(workspace, field, str(value).removeprefix(_RUN_PREFIX)).id
        elif kind == "run" and field.is_list and (field.is_required or field.input.completes):
            values[field.name] = list_all_runs(workspace, field)
        elif kind in PRODUCT_FILES and field.is_required and not values.get(field.name):
            values[field.name] = _find_only_product(workspace, kind, values.get(PARTNERS[kind]))
    return values


def read_values_of_runs(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that given runs bring with them, as a study brings those of its winner."""
    values: dict[str, Any] = {}
    for field in list_fields(settings):
        if field.input and field.input.fixed_key and field.parse_text(given.get(field.name)):
            result = _find_run(workspace, field, str(given[field.name])).read_status().result
            values |= result.get(field.input.defaults_key, {}) | result.get(field.input.fixed_key, {})
    return values


def _find_run(workspace: Workspace, field: SettingField, name: str) -> Run:
    try:
        return lookup.find_run(workspace, name)
    except RunError as error:
        raise SettingsError(error.message, hint=error.hint, fields=(field.name,)) from None


def _find_only_product(workspace: Workspace, kind: str, partner: str | None) -> str:
    names = select_matching(workspace, kind, partner)
    if len(names) == 1:
        return names[0]
    if names:
        raise SettingsError(
            f"there are several {kind}s: {', '.join(names)}",
            hint=f"choose one: {hints.setting(kind, 'NAME')}",
            fields=(kind,),
        )
    root = workspace.root
    message = f"there is no {kind} of {partner} in {root} yet" if partner else f"there is no {kind} in {root} yet"
    raise SettingsError(message, hint=HOW_TO_GET_PRODUCT[kind], fields=(kind,))


# --- check ------------------------------------------------------------------------------------------------------------


def check_inputs(workspace: Workspace, settings: Settings) -> None:
    """Check that every named input exists and is of the right kind, before anything is created."""
    for field, needed, name in list_inputs(settings):
        if needed.kind == "run":
            run = _find_run(workspace, field, name)
            if field.input and field.input.kind == "weights":
                _check_weights(run, field)
            _check_run(run, field, needed)
            _check_fixed_values(run, settings, field, needed)
        elif needed.kind == "path":
            _check_path(workspace, field, Path(name))
        elif needed.kind == "model":
            _check_model(workspace, field, needed, name)
        elif needed.kind in PRODUCT_FILES and name not in workspace.list_products(needed.kind):
            raise SettingsError(
                f"no {needed.kind} is called {name!r} in {workspace.root}",
                hint=f"there are: {', '.join(workspace.list_products(needed.kind)) or 'none yet'}",
                fields=(field.name,),
            )


def _check_run(run: Run, field: SettingField, needed: Input) -> None:
    if needed.made_by and run.read_stage() not in needed.made_by:
        raise SettingsError(
            f"{run.id} is a run of {run.read_stage()}, but {field.name} needs one of {' or '.join(needed.made_by)}",
            hint=f"see {hints.command('runs list')}",
            fields=(field.name,),
        )
    status = run.read_status()
    if status.state == "damaged":
        raise SettingsError(status.message, hint=status.hint, fields=(field.name,))
    if status.state != "done":
        raise SettingsError(
            f"{run.id} is {status.state}, so it has no results yet",
            hint=f"finish it first: {hints.command('runs resume', run.id)}",
            fields=(field.name,),
        )


def _check_weights(run: Run, field: SettingField) -> None:
    if not run.best_checkpoint.is_file():
        raise SettingsError(
            f"{run.id} has no best checkpoint to take weights from",
            hint=f"name a finished run that trained a network: see {hints.command('runs list')}",
            fields=(field.name,),
        )


def _check_fixed_values(run: Run, settings: Settings, field: SettingField, needed: Input) -> None:
    """Refuse values that differ from those that the run found."""
    known = {one.name: one for one in list_fields(type(settings))}
    result = run.read_status().result
    found = {name: known[name].parse(value) for name, value in result.get(needed.fixed_key, {}).items()}
    changed = {name: value for name, value in found.items() if get_value(settings, known[name]) != value}
    if changed:
        names = ", ".join(name.replace("_", "-") for name in changed)
        raise SettingsError(
            "\n".join(
                f"{name.replace('_', '-')} is {get_value(settings, known[name])}, but {run.id} found {value}"
                for name, value in changed.items()
            ),
            hint=f"leave out {names}, or start it without {hints.setting(field.name)}",
            fields=tuple(changed),
        )


def _check_path(workspace: Workspace, field: SettingField, path: Path) -> None:
    """A command must not write inside a folder that it reads."""
    if path.is_dir() and workspace.root.is_relative_to(path.resolve()):
        raise SettingsError(
            f"the workspace {workspace.root} is inside {path}, which is an input",
            hint=f"choose a workspace outside of it: {hints.setting('workspace', 'FOLDER')}",
            fields=(field.name,),
        )


def _check_model(workspace: Workspace, field: SettingField, needed: Input, name: str) -> None:
    preset = workspace.load_preset("models", name)
    if preset.stage not in needed.made_by:
        raise SettingsError(
            f"{name} is a preset of {preset.stage}, but {field.name} needs one of {' or '.join(needed.made_by)}",
            hint=f"choose another model: see {hints.command('train', help=True)}",
            fields=(field.name,),
        )
