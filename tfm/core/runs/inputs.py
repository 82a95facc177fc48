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

from tfm.core import files
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note
from tfm.core.file_walk import walk
from tfm.core.runs import lookup
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import PRODUCT_FILES, PRODUCT_TREES, Workspace
from tfm.core.settings.fields import Leaf, leaves, value_at
from tfm.core.settings.schema import Reads, Settings
from tfm.core.settings.serialize import differing

_HOW_TO_GET = {
    "dataset": "organize a download first: `python wizard.py organize DOWNLOAD`",
    "cache": "preprocess a dataset first: `python wizard.py preprocess`",
}

_OF_A_RUN = "run:"  # before the id of a run whose weights are read


def reads(settings: Settings) -> Iterator[tuple[Leaf, Reads, str]]:
    """Each dataset, cache, run and path that settings name."""
    for leaf in leaves(type(settings)):
        if leaf.reads:
            value = value_at(settings, leaf)
            for name in value if isinstance(value, list | tuple) else [value]:
                if leaf.reads.kind == "weights" and str(name).startswith(_OF_A_RUN):
                    yield leaf, Reads("run"), str(name).removeprefix(_OF_A_RUN)
                elif name is not None:
                    yield leaf, leaf.reads, str(name)


def meant(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, with what goes without saying: the one dataset or cache that stands (with several none is ever
    guessed), every run that can be read where a list of them is left empty, the whole id of a run named in part, and
    what the result of such a run says should hold."""
    filled = _given_by_runs(workspace, settings, given) | dict(given)
    for leaf in leaves(settings):
        if leaf.reads is None:
            continue
        named = leaf.from_text(given.get(leaf.name))
        if leaf.reads.kind == "run" and named:
            whole = [lookup.find_run(workspace, str(name)).id for name in (named if leaf.is_list else [named])]
            filled[leaf.name] = whole if leaf.is_list else whole[0]
        elif leaf.reads.kind == "weights" and named and str(named).startswith(_OF_A_RUN):
            filled[leaf.name] = _OF_A_RUN + lookup.find_run(workspace, str(named).removeprefix(_OF_A_RUN)).id
        elif leaf.reads.kind == "run" and leaf.is_list and leaf.required:
            filled[leaf.name] = [run.id for run in readable_runs(workspace, leaf) if run.has_intact_outputs()]
        elif leaf.reads.kind in PRODUCT_FILES and leaf.required and not filled.get(leaf.name):
            filled[leaf.name] = _only(workspace, leaf.reads.kind)
    return filled


def _given_by_runs(workspace: Workspace, settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for leaf in leaves(settings):
        if leaf.reads and leaf.reads.fixes and leaf.from_text(given.get(leaf.name)):
            result = lookup.find_run(workspace, str(given[leaf.name])).read_status().result
            found |= result.get(leaf.reads.gives, {}) | result.get(leaf.reads.fixes, {})
    return found


def _only(workspace: Workspace, kind: str) -> str:
    names = workspace.products(kind)
    if len(names) == 1:
        return names[0]
    if names:
        raise SettingsError(
            f"there are several {kind}s: {', '.join(names)}", hint=f"say which one: --{kind} NAME", fields=(kind,)
        )
    raise SettingsError(f"there is no {kind} in {workspace.root} yet", hint=_HOW_TO_GET[kind], fields=(kind,))


def readable_runs(workspace: Workspace, leaf: Leaf) -> list[Run]:
    """The runs that a setting may name; those that are part of another are not offered, and can be named."""
    assert leaf.reads is not None
    makers = leaf.reads.made_by
    return [run for run in lookup.runs(workspace) if not run.read_status().part_of and run.is_done_by(makers)]


def left_out(workspace: Workspace, settings: Settings, setting: str) -> Iterator[Note]:
    """The runs that `meant` did not take where a list of them was left empty, and why. Where one that it would have
    taken is not chosen either, the list was made by hand, and nobody is missed."""
    leaf = next(leaf for leaf in leaves(type(settings)) if leaf.name == setting)
    others = [one for one in readable_runs(workspace, leaf) if one.id not in value_at(settings, leaf)]
    if any(one.has_intact_outputs() for one in others):
        return
    for one in others:
        yield Note(
            f"{one.id} is left out: its outputs are missing or changed. Repeat it: {one.describe_restart()}",
            "warning",
        )


def check_reads(workspace: Workspace, settings: Settings) -> None:
    """Every dataset, cache and run that is named stands: said before anything is made."""
    for leaf, reading, name in reads(settings):
        if reading.kind == "run":
            _check_run(workspace, leaf, reading, name)
            _check_fixed(workspace, settings, leaf, reading, name)
        elif reading.kind == "path":
            _check_path(workspace, leaf, Path(name))
        elif reading.kind == "model":
            _check_model(workspace, leaf, reading, name)
        elif reading.kind in PRODUCT_FILES and name not in workspace.products(reading.kind):
            standing = ", ".join(workspace.products(reading.kind)) or "none yet"
            raise SettingsError(
                f"no {reading.kind} is called {name!r} in {workspace.root}",
                hint=f"there are: {standing}",
                fields=(leaf.name,),
            )


def _check_path(workspace: Workspace, leaf: Leaf, path: Path) -> None:
    """Whoever reads a folder in which he writes changes what he reads."""
    if path.is_dir() and workspace.root.is_relative_to(path.resolve()):
        raise SettingsError(
            f"the workspace {workspace.root} lies inside {path}, which is to be read",
            hint="choose a workspace outside of it: --workspace FOLDER",
            fields=(leaf.name,),
        )


def _check_model(workspace: Workspace, leaf: Leaf, reading: Reads, name: str) -> None:
    preset = workspace.preset("models", name)
    if preset.stage not in reading.made_by:
        raise SettingsError(
            f"{name} is a preset of {preset.stage}, and {' or '.join(reading.made_by)} is needed here",
            hint="choose another model: see `python wizard.py train --help`",
            fields=(leaf.name,),
        )


def _check_run(workspace: Workspace, leaf: Leaf, reading: Reads, name: str) -> None:
    run = lookup.find_run(workspace, name)
    if reading.made_by and run.read_stage() not in reading.made_by:
        raise SettingsError(
            f"{run.id} is a run of {run.read_stage()}, and {' or '.join(reading.made_by)} is needed here",
            hint="see `python wizard.py runs list`",
            fields=(leaf.name,),
        )
    if run.read_status().state != "done":
        raise SettingsError(
            f"{run.id} is {run.read_status().state}: it has nothing to read yet",
            hint=f"finish it first: `python wizard.py runs resume {run.id}`",
            fields=(leaf.name,),
        )


def _check_fixed(workspace: Workspace, settings: Settings, leaf: Leaf, reading: Reads, name: str) -> None:
    """Who changes what a run has found is told: with another value it is not what that run found."""
    run = lookup.find_run(workspace, name)
    known = {one.name: one for one in leaves(type(settings))}
    found = {one: known[one].parse(value) for one, value in run.read_status().result.get(reading.fixes, {}).items()}
    other = {one: value for one, value in found.items() if value_at(settings, known[one]) != value}
    if other:
        raise SettingsError(
            "\n".join(
                f"{one.replace('_', '-')}: {value_at(settings, known[one])} is wanted, and {run.id} has found {value}"
                for one, value in other.items()
            ),
            hint=f"leave out {', '.join(one.replace('_', '-') for one in other)}, or start it without --{leaf.name}",
            fields=tuple(other),
        )


def identity(workspace: Workspace, reading: Reads, name: str) -> str:
    """What a run's key says of something it reads: its name, and its content as far as a quick look can tell."""
    kind = reading.kind
    if kind == "run":
        return _digest([name, lookup.find_run(workspace, name).read_status().key])
    if kind == "weights":
        return files.sha256(Path(name.removeprefix("file:"))) if name.startswith("file:") else name
    if kind == "model":
        return _digest([name, workspace.preset("models", name).settings])
    if kind == "path":
        return _tree_identity(Path(name))
    folder = workspace.product_folder(kind, name)
    try:
        content = [files.sha256(folder / file) for file in PRODUCT_FILES[kind]]
        return _digest([name, *content, *(_files_below(folder, PRODUCT_TREES[kind]) if reading.with_files else ())])
    except FileNotFoundError:
        raise DataError(f"the {kind} {name} is no longer whole in {folder}", hint=_HOW_TO_GET[kind]) from None


def key(workspace: Workspace, stage: str, version: int, settings: Settings, besides: Sequence[Path] = ()) -> str:
    """Equal keys mean equal work: the stage, its version, what differs from its defaults, what it reads; `besides` are
    paths that it reads and that no setting names."""
    inputs: dict[str, list[str]] = {"": [_tree_identity(path) for path in besides]} if besides else {}
    for leaf, reading, name in reads(settings):
        inputs.setdefault(leaf.name, []).append(identity(workspace, reading, name))
    chosen = {name: value for name, value in differing(settings).items() if name not in inputs}
    return _digest([stage, version, sorted(chosen.items()), inputs])


def _digest(value: Any) -> str:
    """In the order given: the order of a chain's steps is a setting too."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _files_below(folder: Path, trees: Sequence[str]) -> list[tuple[str, int, int]]:
    """Names, sizes and times, wherever the workspace lies."""
    met = walk([folder / tree for tree in trees])
    return sorted((os.path.relpath(file.path, folder), file.size, file.mtime_ns) for file in met)


def _tree_identity(path: Path) -> str:
    """Names, sizes and times of every file below: what a walk can know without reading 163 GB."""
    if path.is_file():
        return _digest([str(path), path.stat().st_size, path.stat().st_mtime_ns])
    return _digest([str(path), *sorted((met.path, met.size, met.mtime_ns, met.trouble) for met in walk([path]))])
