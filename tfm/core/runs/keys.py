"""The keys of runs: equal keys mean equal work. A key covers the command, its version, its settings and its inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.file_walk import walk_files
from tfm.core.registry import Stage
from tfm.core.runs import lookup
from tfm.core.runs.inputs import HOW_TO_GET_PRODUCT, list_inputs
from tfm.core.runs.workspace import PRODUCT_FILES, PRODUCT_TREES, Workspace
from tfm.core.settings.base import Input, Settings
from tfm.core.settings.serialize import collect_key_values


def compute_run_key(workspace: Workspace, stage: Stage, settings: Settings) -> str:
    paths = stage.list_extra_inputs(settings, workspace)
    return compute_key(workspace, stage.name, stage.version, settings, paths)


def compute_key(workspace: Workspace, stage: str, version: int, settings: Settings, paths: Sequence[Path] = ()) -> str:
    """The key of a run that also reads `paths`, which no setting names."""
    inputs: dict[str, list[str]] = {"": [_identify_tree(path) for path in paths]} if paths else {}
    for field, needed, name in list_inputs(settings):
        inputs.setdefault(field.name, []).append(identify_input(workspace, needed, name))
    others = {name: value for name, value in collect_key_values(settings).items() if name not in inputs}
    return _compute_digest([stage, version, sorted(others.items()), inputs])


def identify_input(workspace: Workspace, needed: Input, name: str) -> str:
    """A digest of an input's name and content. For folders, file sizes and times stand in for the content."""
    kind = needed.kind
    if kind == "run":
        return _compute_digest([name, lookup.find_run(workspace, name).read_status().key])
    if kind == "weights":
        return files.compute_sha256(Path(name.removeprefix("file:"))) if name.startswith("file:") else name
    if kind == "model":
        return _compute_digest([name, workspace.load_preset("models", name).settings])
    if kind == "path":
        return _identify_tree(Path(name))
    folder = workspace.product_folder(kind, name)
    try:
        content = [files.compute_sha256(folder / file) for file in PRODUCT_FILES[kind]]
    except FileNotFoundError:
        incomplete, gone = f"the {kind} {name} in {folder} is incomplete", f"the {kind} {name} in {folder} is gone"
        hint = f"put its folder back, or {HOW_TO_GET_PRODUCT[kind]}"
        raise DataError(incomplete if folder.is_dir() else gone, hint=hint) from None
    trees = [folder / tree for tree in PRODUCT_TREES[kind]] if needed.with_files else []
    # relative names, so that the workspace can be moved
    below = sorted((os.path.relpath(file.path, folder), file.size, file.mtime_ns) for file in walk_files(trees))
    return _compute_digest([name, *content, *below])


def _compute_digest(value: Any) -> str:
    """Mappings keep their order, because the order of imaging steps matters."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _identify_tree(path: Path) -> str:
    """A digest of the names, sizes and times of all files below. Reading 163 GB would take too long."""
    if path.is_file():
        return _compute_digest([str(path), path.stat().st_size, path.stat().st_mtime_ns])
    found = walk_files([path])
    return _compute_digest([str(path), *sorted((file.path, file.size, file.mtime_ns, file.problem) for file in found)])
