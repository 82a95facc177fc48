"""Settings: what a person may choose, described once, and the marks that say what else is true of a choice.

Nothing here asks, prints or reads a terminal; forms, commands and YAML files are made from leaves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints


class Settings(BaseModel):
    """A field's docstring is its documentation everywhere: the first line is the question, the help and the YAML
    comment; the rest is what `?` shows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Input:
    """Marks a field that names something a run reads; its content is part of the run's key, with its name."""

    kind: Literal["dataset", "cache", "run", "path", "weights", "model"]
    made_by: tuple[str, ...] = ()  # for runs: the stages whose done runs will do; empty for any
    defaults_key: str = (
        ""  # for runs: the value of their result that holds settings, which hold here where nothing is said
    )
    fixed_key: str = ""  # for runs: another such value, whose settings hold here and cannot be said otherwise
    with_files: bool = False  # for datasets: the films and masks as well, not only what is written of them


@dataclass(frozen=True, eq=False)
class Switches:
    """Marks a mapping of named parts, each off (`false`), on (`true`) or on with values of its own. A part's class says
    what it does, in the first line of its docstring, and what may be set of it."""

    parts: Mapping[str, type[Settings]]


class NoEffectWhen:
    """Marks a field, or a group of them, that does nothing where another setting has one of these values. It is then
    not asked for, refused where it is given all the same, and stays at its default: equal work has one key. What stands
    in `also` must hold too."""

    def __init__(self, setting: str, *values: Any, also: tuple[NoEffectWhen, ...] = ()) -> None:
        self.setting = setting
        self.values = values
        self.also = also

    @property
    def where(self) -> str:
        values = " or ".join(str(value).lower() for value in self.values)
        own = f"{self.setting.replace('_', '-')} {self._verb} {values}"
        return " and ".join([own, *(other.where for other in self.also)])

    _verb = "is"

    def applies(self, values: Mapping[str, Any]) -> bool:
        """With these values by name; of a setting that is not among them nothing is known."""
        mine = self.setting in values and self._meets(values[self.setting])
        return mine and all(other.applies(values) for other in self.also)

    def _meets(self, value: Any) -> bool:
        return value in self.values


class NoEffectUnless(NoEffectWhen):
    """Where the other setting has any value but these."""

    _verb = "is not"

    def _meets(self, value: Any) -> bool:
        return value not in self.values


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


IMPORTANT = _Mark("IMPORTANT")  # asked first in a form; everything else waits behind "advanced"
POSITIONAL = _Mark("POSITIONAL")  # on the command line it is given without its name
NOT_IN_RUN_KEY = _Mark("OUT_OF_KEY")  # changes how fast or where a run works, never what comes out


def _given(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("give the path of a folder")
    return path


def _existing(path: Path) -> Path:
    path = path.expanduser().resolve()
    if not path.exists():
        raise ValueError(f"there is nothing at {path}")
    return path


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is a file, not a folder")
    return path


def _makeable(path: Path) -> Path:
    """A folder that stands, or could be made."""
    path = path.expanduser().resolve()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise ValueError(f"{nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{nearest} cannot be written")
    return path


ProductName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$", max_length=100)]  # of what a stage makes
DatasetName = Annotated[str, Input("dataset")]
DatasetWithFiles = Annotated[str, Input("dataset", with_files=True)]
CacheName = Annotated[str, Input("cache")]
RunId = Annotated[str, Input("run")]
TrainedRun = Annotated[str, Input("run", made_by=("train",))]
StudyRun = Annotated[str, Input("run", made_by=("tune",), defaults_key="data", fixed_key="winner")]
ModelName = Annotated[str, Input("model", made_by=("train",))]  # a preset of the model menu
RunWithPredictions = Annotated[
    str, Input("run", made_by=("train", "forest", "average", "segment"))
]  # one that left predictions
InputPath = Annotated[Path, Input("path"), BeforeValidator(_given), AfterValidator(_existing)]
InputFolder = Annotated[InputPath, AfterValidator(_folder)]
OutputPath = Annotated[Path, BeforeValidator(_given), AfterValidator(_makeable)]
