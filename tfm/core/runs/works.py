"""What a start would run, without creating anything: each step as a command with its values, and the size of its data.

References between steps stay open, and nothing is checked: that is done when a run is created.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import functools
import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.core.runs import inputs
from tfm.core.runs.expand_repeats import split_repeats, split_values_by_preset
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import find_preset, get_started_command
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import find_fields_without_effect, get_parsed_value, merge, place_values


@dataclass(frozen=True)
class Work:
    """One step. `values` maps names to values, without the settings that have no effect."""

    name: str
    command: str
    values: Mapping[str, Any]
    times: int = 1

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)


class ImageCounts(NamedTuple):
    train: int = 0
    val: int = 0
    test: int = 0


def list_starts(workspace: Workspace, name: str, presets: Iterable[str], given: Mapping[str, Any]) -> dict[str, Work]:
    """Map each preset, or the command if it has none, to what it would start. A plan is one work here."""
    text = json.dumps(dict(given), default=str)
    return _list_starts(workspace.root, name, tuple(presets), text, find_changes(workspace))


def find_changes(workspace: Workspace) -> tuple[int, ...]:
    """When datasets, caches and the user's presets changed: what was read from them is valid until then."""
    places = [workspace.root / kind for kind in ("dataset", "cache", "models")]
    files = [*places, *(file for place in places for file in place.glob("[!.]*"))]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())


@functools.lru_cache(maxsize=32)
def _list_starts(
    root: Path, name: str, presets: tuple[str, ...], text: str, _changed: tuple[int, ...]
) -> dict[str, Work]:
    workspace, given = Workspace(root), json.loads(text)
    found = registry.find_command(name)
    settings, counts = split_repeats(found, given)
    repeated = {repeat.word: repeat.setting for repeat in found.repeats}
    works = {}
    for preset, own in split_values_by_preset(workspace, name, settings, presets):
        command = get_started_command(name, preset)
        values = dict(own)
        with contextlib.suppress(TFMError):  # there are several datasets, and none was chosen yet
            values = inputs.complete_values(workspace, registry.find_command(command).settings, own)
        work = _make_work(preset.name if preset else name, command, preset, values)
        times = [count for word, count in counts.items() if repeated[word] in work.values]
        works[work.name] = Work(work.name, command, work.values, functools.reduce(int.__mul__, times, 1))
    return works


def list_step_works(workspace: Workspace, steps: Iterable[Step]) -> list[Work]:
    load = functools.cache(functools.partial(find_preset, workspace))
    return [_make_work(step.name, step.stage, load(step.stage, step.preset), step.settings) for step in steps]


def read_model_work(workspace: Workspace, work: Work) -> Work:
    """The training that is repeated by a study or another command that names a model."""
    preset = workspace.load_preset("models", work.values["model"])
    shared = {name: work.values[name] for name in ("dataset", "cache", "fold") if name in work.values}
    epochs = work.get("max_epochs", work.get("epochs"))
    shared |= {"epochs": epochs} if isinstance(epochs, int) else {}
    return _make_work(preset.name, preset.stage, preset, shared)


def share_data(steps: Sequence[Work]) -> list[Work]:
    """A step that reads the result of an earlier one uses its dataset and cache."""
    shared: dict[str, Any] = {}
    found = []
    for step in steps:
        shared |= {name: step.values[name] for name in ("dataset", "cache", "fold") if name in step.values}
        found.append(Work(step.name, step.command, shared | dict(step.values)))
    return found


def read_run_work(run: Run) -> Work:
    """The work that a run did, from its settings file."""
    return _make_work(run.id, run.read_stage(), None, run.read_settings())


def _make_work(name: str, command: str, preset: Preset | None, given: Mapping[str, Any]) -> Work:
    settings = registry.find_command(command).settings
    nested = merge(place_values(settings, preset.settings if preset else {}), place_values(settings, given))
    useless = {field.name for field, _ in find_fields_without_effect(settings, nested)}
    fields = [field for field in list_fields(settings) if field.name not in useless]
    values = {field.name: get_parsed_value(nested, field) for field in fields}
    # An input that is not named yet, or the result of an earlier step, has no value of the setting's type.
    return Work(name, command, {name: value for name, value in values.items() if type(value) is not object})


def count_images(workspace: Workspace, work: Work) -> ImageCounts:
    """Count the images of the work's dataset by split; none if there is no such dataset."""
    file = workspace.dataset_folder(str(work.get("dataset"))) / "manifest.csv"
    try:
        return _count_rows(file, file.stat().st_mtime_ns, work.get("fold", 1))
    except (OSError, KeyError, csv.Error):
        return ImageCounts()


@functools.lru_cache(maxsize=64)
def _count_rows(file: Path, _changed: int, fold: int) -> ImageCounts:
    with open(file, encoding="utf-8", newline="") as text:
        rows = Counter((row["split"], row["fold"]) for row in csv.DictReader(text))
    splits: Counter[str] = Counter()
    for (split, number), count in rows.items():
        if fold != 1 and number:
            split = {"0": "test", str(fold): "val"}.get(number, "train")  # as data.dataset.split chooses them
        splits[split] += count
    return ImageCounts(splits["train"], splits["val"], splits["test"])


def read_image_size(workspace: Workspace, work: Work) -> tuple[int, int] | None:
    """Height and width of the images of the work's cache, from the header of its file."""
    file = workspace.cache_folder(str(work.get("cache"))) / "images.npy"
    try:
        _, height, width = _read_array_shape(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, SyntaxError, struct.error):
        return None
    return height, width


@functools.lru_cache(maxsize=64)
def _read_array_shape(file: Path, _changed: int) -> tuple[int, ...]:
    with open(file, "rb") as content:
        head = content.read(10)
        (length,) = struct.unpack("<H", head[8:10])
        shape: tuple[int, ...] = ast.literal_eval(content.read(length).decode("latin-1"))["shape"]
    return shape
