"""The base class of all settings, and the marks and types of their fields.

How forms, command lines and YAML files see a field is in `fields`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from tfm.core.escape_text import is_utf8


class Settings(BaseModel):
    """A field's docstring documents it everywhere: its first line is the question, the help text and the YAML
    comment; a form shows the rest on `?`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Input:
    """Marks a field that names an input of a run. The run's key covers the input's name and content.

    Attributes:
        made_by: For runs: the commands whose complete runs are allowed; empty for all.
        defaults_key: For runs: the value of their result that holds defaults for other settings.
        fixed_key: For runs: the value of their result that holds settings which cannot be changed here.
        completes: For optional lists of runs: an empty list means all complete runs, as it does for required lists.
        with_files: For datasets: whether the key also covers the images and masks, not only the manifest.
    """

    kind: Literal["dataset", "cache", "run", "path", "weights", "model"]
    made_by: tuple[str, ...] = ()
    defaults_key: str = ""
    fixed_key: str = ""
    completes: bool = False
    with_files: bool = False


@dataclass(frozen=True, eq=False)
class Switches:
    """Marks a mapping of named parts, each off (`false`), on (`true`) or on with its own values. The docstring and the
    fields of a part's class describe it."""

    parts: Mapping[str, type[Settings]]


class NoEffectWhen:
    """Marks a field or group without effect while another setting has one of these values and all of `also` apply.

    Such a field is not asked for, refused if given, and keeps its default, so that equal work has one key.
    """

    _verb = "is"

    def __init__(self, setting: str, *values: Any, also: tuple[NoEffectWhen, ...] = ()) -> None:
        self.setting = setting
        self.values = values
        self.also = also

    @property
    def condition(self) -> str:
        values = " or ".join(str(value).lower() for value in self.values)
        own = f"{self.setting.replace('_', '-')} {self._verb} {values}"
        return " and ".join([own, *(other.condition for other in self.also)])

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the field has no effect with these values, given by name. An unknown value does not count."""
        own = self.setting in values and self._matches(values[self.setting])
        return own and all(other.applies(values) for other in self.also)

    def _matches(self, value: Any) -> bool:
        return value in self.values


class NoEffectUnless(NoEffectWhen):
    """Marks a field or a group that has no effect unless another setting has one of these values."""

    _verb = "is not"

    def _matches(self, value: Any) -> bool:
        return value not in self.values


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


IMPORTANT = _Mark("IMPORTANT")  # asked first in a form; the others are below "advanced"
POSITIONAL = _Mark("POSITIONAL")  # given without its name on the command line
NOT_IN_RUN_KEY = _Mark("NOT_IN_RUN_KEY")  # changes the speed or the machine of a run, never its result


def _check_not_empty(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("give the path of a folder")
    return path


def _check_is_utf8(path: Path) -> Path:
    if not is_utf8(path):
        raise ValueError(f"{os.fsencode(path)!r} is not UTF-8, which the files of a run are: rename it")
    return path


def _resolve_existing(path: Path) -> Path:
    path = path.expanduser().resolve()
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    return path


def _check_is_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is a file, not a folder")
    return path


def _resolve_writable_folder(path: Path) -> Path:
    """A folder that exists or can be created."""
    path = path.expanduser().resolve()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise ValueError(f"{nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{nearest} is not writable")
    return path


ProductName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$", max_length=100)]  # of a new product
DatasetName = Annotated[str, Input("dataset")]
DatasetWithFiles = Annotated[str, Input("dataset", with_files=True)]
CacheName = Annotated[str, Input("cache")]
RunId = Annotated[str, Input("run")]
TrainedRun = Annotated[str, Input("run", made_by=("train",))]
StudyRun = Annotated[str, Input("run", made_by=("tune",), defaults_key="data", fixed_key="winner")]
ModelName = Annotated[str, Input("model", made_by=("train",))]  # a preset of the model menu
RunWithPredictions = Annotated[
    str, Input("run", made_by=("train", "forest", "average", "segment"))
]  # a run with predictions
_Path = Annotated[Path, BeforeValidator(_check_not_empty), AfterValidator(_check_is_utf8)]
InputPath = Annotated[_Path, Input("path"), AfterValidator(_resolve_existing)]
InputFolder = Annotated[InputPath, AfterValidator(_check_is_folder)]
OutputPath = Annotated[_Path, AfterValidator(_resolve_writable_folder)]
