"""What a stage reads: whether it stands, which is meant where none was named, and what it is by content.

A run's key is made here: equal keys mean equal work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfm.core import files, hints
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note
from tfm.core.file_walk import walk_files
from tfm.core.registry import Stage
from tfm.core.runs import lookup
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import PRODUCT_FILES, PRODUCT_TREES, Workspace
from tfm.core.settings.fields import SettingField, get_value, list_fields
from tfm.core.settings.schema import Input, Settings
from tfm.core.settings.serialize import collect_key_values

_HOW_TO_GET = {
    "dataset": f"organize a download first: {hints.command('organize DOWNLOAD')}",
    "cache": f"preprocess a dataset first: {hints.command('preprocess')}",
}

_OF_A_RUN = "run:"  # before the id of a run whose weights are read


def list_inputs(settings: Settings) -> Iterator[tuple[SettingField, Input, str]]:
    """Each dataset, cache, run and path that settings name."""
    for field in list_fields(type(settings)):
        if field.input:
            value = get_value(settings, field)
            for name in value if isinstance(value, list | tuple) else [value]:
                if field.input.kind == "weights" and str(name).startswith(_OF_A_RUN):
                    yield field, Input("run"), str(name).removeprefix(_OF_A_RUN)
                elif name is not None:
                    yield field, field.input, str(name)


def complete_values(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, with what goes without saying: the one dataset or cache that stands (with several none is ever
    guessed), every run that can be read where a list of them is left empty, the whole id of a run named in part, and
    what the result of such a run says should hold."""
    filled = _given_by_runs(workspace, settings, given) | dict(given)
    for field in list_fields(settings):
        if field.input is None:
            continue
        named = field.parse_text(given.get(field.name))
        if field.input.kind == "run" and named:
            whole = [lookup.find_run(workspace, str(name)).id for name in (named if field.is_list else [named])]
            filled[field.name] = whole if field.is_list else whole[0]
        elif field.input.kind == "weights" and named and str(named).startswith(_OF_A_RUN):
            filled[field.name] = _OF_A_RUN + lookup.find_run(workspace, str(named).removeprefix(_OF_A_RUN)).id
        elif field.input.kind == "run" and field.is_list and field.is_required:
            filled[field.name] = [run.id for run in list_readable_runs(workspace, field) if run.has_intact_outputs()]
        elif field.input.kind in PRODUCT_FILES and field.is_required and not filled.get(field.name):
            filled[field.name] = _only(workspace, field.input.kind)
    return filled


def _given_by_runs(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in list_fields(settings):
        if field.input and field.input.fixed_key and field.parse_text(given.get(field.name)):
            result = lookup.find_run(workspace, str(given[field.name])).read_status().result
            found |= result.get(field.input.defaults_key, {}) | result.get(field.input.fixed_key, {})
    return found


def _only(workspace: Workspace, kind: str) -> str:
    names = workspace.list_products(kind)
    if len(names) == 1:
        return names[0]
    if names:
        raise SettingsError(
            f"there are several {kind}s: {', '.join(names)}", hint=f"say which one: --{kind} NAME", fields=(kind,)
        )
    raise SettingsError(f"there is no {kind} in {workspace.root} yet", hint=_HOW_TO_GET[kind], fields=(kind,))


def list_readable_runs(workspace: Workspace, field: SettingField) -> list[Run]:
    """The runs that a setting may name; those that are part of another are not offered, and can be named."""
    assert field.input is not None
    makers = field.input.made_by
    return [run for run in lookup.list_runs(workspace) if not run.read_status().part_of and run.is_done_by(makers)]


def report_skipped_runs(workspace: Workspace, settings: Settings, setting: str) -> Iterator[Note]:
    """The runs that `meant` did not take where a list of them was left empty, and why. Where one that it would have
    taken is not chosen either, the list was made by hand, and nobody is missed."""
    field = next(field for field in list_fields(type(settings)) if field.name == setting)
    others = [one for one in list_readable_runs(workspace, field) if one.id not in get_value(settings, field)]
    if any(one.has_intact_outputs() for one in others):
        return
    for one in others:
        yield Note(
            f"{one.id} is left out: its outputs are missing or changed. Repeat it: {one.describe_restart()}",
            "warning",
        )


def check_inputs(workspace: Workspace, settings: Settings) -> None:
    """Every dataset, cache and run that is named stands: said before anything is made."""
    for field, reading, name in list_inputs(settings):
        if reading.kind == "run":
            _check_run(workspace, field, reading, name)
            _check_fixed(workspace, settings, field, reading, name)
        elif reading.kind == "path":
            _check_path(workspace, field, Path(name))
        elif reading.kind == "model":
            _check_model(workspace, field, reading, name)
        elif reading.kind in PRODUCT_FILES and name not in workspace.list_products(reading.kind):
            standing = ", ".join(workspace.list_products(reading.kind)) or "none yet"
            raise SettingsError(
                f"no {reading.kind} is called {name!r} in {workspace.root}",
                hint=f"there are: {standing}",
                fields=(field.name,),
            )


def _check_path(workspace: Workspace, field: SettingField, path: Path) -> None:
    """Whoever reads a folder in which he writes changes what he reads."""
    if path.is_dir() and workspace.root.is_relative_to(path.resolve()):
        raise SettingsError(
            f"the workspace {workspace.root} lies inside {path}, which is to be read",
            hint=f"choose a workspace outside of it: {hints.setting('workspace', 'FOLDER')}",
            fields=(field.name,),
        )


def _check_model(workspace: Workspace, field: SettingField, reading: Input, name: str) -> None:
    preset = workspace.load_preset("models", name)
    if preset.stage not in reading.made_by:
        raise SettingsError(
            f"{name} is a preset of {preset.stage}, and {' or '.join(reading.made_by)} is needed here",
            hint=f"choose another model: see {hints.command('train', help=True)}",
            fields=(field.name,),
        )


def _check_run(workspace: Workspace, field: SettingField, reading: Input, name: str) -> None:
    run = lookup.find_run(workspace, name)
    if reading.made_by and run.read_stage() not in reading.made_by:
        raise SettingsError(
            f"{run.id} is a run of {run.read_stage()}, and {' or '.join(reading.made_by)} is needed here",
            hint=f"see {hints.command('runs list')}",
            fields=(field.name,),
        )
    if run.read_status().state != "done":
        raise SettingsError(
            f"{run.id} is {run.read_status().state}: it has nothing to read yet",
            hint=f"finish it first: {hints.command('runs resume', run.id)}",
            fields=(field.name,),
        )


def _check_fixed(workspace: Workspace, settings: Settings, field: SettingField, reading: Input, name: str) -> None:
    """Who changes what a run has found is told: with another value it is not what that run found."""
    run = lookup.find_run(workspace, name)
    known = {one.name: one for one in list_fields(type(settings))}
    found = {one: known[one].parse(value) for one, value in run.read_status().result.get(reading.fixed_key, {}).items()}
    other = {one: value for one, value in found.items() if get_value(settings, known[one]) != value}
    if other:
        raise SettingsError(
            "\n".join(
                f"{one.replace('_', '-')}: {get_value(settings, known[one])} is wanted, and {run.id} has found {value}"
                for one, value in other.items()
            ),
            hint=f"leave out {', '.join(one.replace('_', '-') for one in other)}, or start it without "
            f"{hints.setting(field.name)}",
            fields=tuple(other),
        )


def identify_input(workspace: Workspace, reading: Input, name: str) -> str:
    """What a run's key says of something it reads: its name, and its content as far as a quick look can tell."""
    kind = reading.kind
    if kind == "run":
        return _digest([name, lookup.find_run(workspace, name).read_status().key])
    if kind == "weights":
        return files.compute_sha256(Path(name.removeprefix("file:"))) if name.startswith("file:") else name
    if kind == "model":
        return _digest([name, workspace.load_preset("models", name).settings])
    if kind == "path":
        return _tree_identity(Path(name))
    folder = workspace.product_folder(kind, name)
    try:
        content = [files.compute_sha256(folder / file) for file in PRODUCT_FILES[kind]]
        return _digest([name, *content, *(_files_below(folder, PRODUCT_TREES[kind]) if reading.with_files else ())])
    except FileNotFoundError:
        raise DataError(f"the {kind} {name} is no longer whole in {folder}", hint=_HOW_TO_GET[kind]) from None


def compute_key(
    workspace: Workspace, stage: str, version: int, settings: Settings, besides: Sequence[Path] = ()
) -> str:
    """Equal keys mean equal work: the stage, its version, what differs from its defaults, what it reads; `besides` are
    paths that it reads and that no setting names."""
    inputs: dict[str, list[str]] = {"": [_tree_identity(path) for path in besides]} if besides else {}
    for field, reading, name in list_inputs(settings):
        inputs.setdefault(field.name, []).append(identify_input(workspace, reading, name))
    chosen = {name: value for name, value in collect_key_values(settings).items() if name not in inputs}
    return _digest([stage, version, sorted(chosen.items()), inputs])


def compute_run_key(workspace: Workspace, stage: Stage, settings: Settings) -> str:
    paths = stage.list_extra_inputs(settings)
    return compute_key(workspace, stage.name, stage.version, settings, paths)


def _digest(value: Any) -> str:
    """In the order given: the order of a chain's steps is a setting too."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _files_below(folder: Path, trees: Sequence[str]) -> list[tuple[str, int, int]]:
    """Names, sizes and times, wherever the workspace lies."""
    met = walk_files([folder / tree for tree in trees])
    return sorted((os.path.relpath(file.path, folder), file.size, file.mtime_ns) for file in met)


def _tree_identity(path: Path) -> str:
    """Names, sizes and times of every file below: what a walk can know without reading 163 GB."""
    if path.is_file():
        return _digest([str(path), path.stat().st_size, path.stat().st_mtime_ns])
    return _digest([str(path), *sorted((met.path, met.size, met.mtime_ns, met.problem) for met in walk_files([path]))])
