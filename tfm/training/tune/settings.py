"""The settings of a study: the space to search, Hyperband, and the address of the database.

Spaces are parsed and checked here; drawing values from them is left to `study`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.base import IMPORTANT, Settings
from tfm.core.settings.fields import SettingField

_RANGE_KEYS = {"low", "high", "log", "step"}
_SYNTAX = "write a list of values, as in [adamw, sgd], or a range, as in {low: 0.0001, high: 0.01, log: true}"


def parse_space(
    space: Mapping[str, Any], known: Mapping[str, SettingField], hints: Mapping[str, str]
) -> dict[str, list[Any] | dict[str, Any]]:
    """Parse each setting's values, or its range, in the setting's own type.

    Args:
        known: the settings that can be searched.
        hints: what to do instead, for settings that cannot be searched.
    """
    if not space:
        raise _build_error("the space to search is empty", "name at least one setting. " + _SYNTAX)
    for name in space:
        if name not in known:
            hint = hints.get(name) or messages.build_unknown_setting_error(name, known).hint
            raise _build_error(f"the space to search names {name}, which cannot be searched", hint)
    return {name: _parse_options(name, options, known[name]) for name, options in space.items()}


def _parse_options(name: str, options: Any, field: SettingField) -> list[Any] | dict[str, Any]:
    if isinstance(options, Mapping):
        return _parse_range(name, options, field)
    if not isinstance(options, list | tuple) or not options:
        raise _build_error(f"the space to search has no values for {name}", _SYNTAX)
    return list(dict.fromkeys(_parse_value(name, option, field) for option in options))


def _parse_range(name: str, given: Mapping[str, Any], field: SettingField) -> dict[str, Any]:
    for key in given.keys() - _RANGE_KEYS:
        close = difflib.get_close_matches(str(key), _RANGE_KEYS, n=1)
        hint = f"did you mean {close[0]}?" if close else _SYNTAX
        raise _build_error(f"the range of {name} has an unknown key {key}", hint)
    for end in ("low", "high"):
        if end not in given:
            raise _build_error(f"the range of {name} has no {end}", _SYNTAX)
    low, high = (_parse_value(name, given[end], field) for end in ("low", "high"))
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)):
        raise _build_error(f"{name} is not a number and cannot have a range", _SYNTAX)
    log, step = given.get("log", False), given.get("step")
    if low >= high:
        raise _build_error(f"the range of {name} is empty: from {low} to {high}", "low must be below high")
    if not isinstance(log, bool):
        raise _build_error(f"the range of {name} has log: {log}", "log is true or false")
    if log and (low <= 0 or step is not None):
        raise _build_error(f"the range of {name} cannot be logarithmic", "log needs a low above zero, and no step")
    if step is not None:
        kinds = int if isinstance(low, int) and isinstance(high, int) else int | float
        if not isinstance(step, kinds) or isinstance(step, bool) or not 0 < step <= high - low:
            raise _build_error(
                f"the range of {name} cannot have a step of {step}",
                "step must be at most high - low, and an integer for integers",
            )
    return {"low": low, "high": high} | ({"log": True} if log else {}) | ({"step": step} if step is not None else {})


def _parse_value(name: str, value: Any, field: SettingField) -> Any:
    try:
        return field.parse(value)
    except ValueError as error:
        choices = f": {', '.join(map(str, field.choices))}" if field.choices else ""
        hint = f"give values that {hints.setting(name)} of {hints.command('train')} accepts{choices}"
        raise _build_error(f"the space to search holds {value} for {name}: {error}", hint) from None


def _build_error(message: str, hint: str) -> SettingsError:
    return SettingsError(message, hint=hint, fields=("space",))


_SQLITE_FILE = re.compile(r"sqlite(\+\w+)?:///")  # no user, and so no password
# Up to the last "@", because a password may contain any character. If that "@" is in a password of the query, up to the
# end of that password.
_PASSWORD = re.compile(r"(?is)^((?:[\w+.-]*:?//)?[^:]*):(?!//)(?:.*pass[^=&]*=[^&]*@[^&]*|.*@)")
_PASSWORD_BY_NAME = re.compile(r"(?is)[\w.-]*pass[\w.-]*\s*=[^&]*&*")


def _strip_password(value: Any) -> Any:
    """Remove the password before any check, because an error message shows the address."""
    if not isinstance(value, str) or _SQLITE_FILE.match(value):
        return value
    return _PASSWORD_BY_NAME.sub("", _PASSWORD.sub(r"\1@", value)).rstrip("?&")


def _resolve_path(url: str) -> str:
    """Make the path of an SQLite file absolute, so that the run can be resumed from another folder."""
    if not re.match(r"[a-z][a-z0-9+]*://", url):
        raise ValueError("give an address, such as sqlite:///study.db or postgresql://user@host/name")
    if not url.startswith("sqlite"):
        return url
    head, _, path = url.partition(":///")
    if not path or ":memory:" in path or "mode=memory" in path:  # a study in memory cannot be resumed
        raise ValueError("give the file too, such as sqlite:///study.db")
    return f"{head}:///{Path(path).expanduser().resolve()}"


# The password is removed first: an error of the second check shows the address without it.
StorageUrl = Annotated[str, AfterValidator(_resolve_path), BeforeValidator(_strip_password)]


class HyperbandSettings(Settings):
    min_epochs: Annotated[int, Field(ge=1)] = 4
    """Minimum epochs of each trial before it can be pruned"""
    max_epochs: Annotated[int, Field(ge=2), IMPORTANT] = 12
    """Epochs of a trial that is not pruned"""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """Reduction factor of Hyperband
    At each rung, about one in this many trials continues and the others are pruned. The first rung is at min-epochs,
    each further one at this many times the epochs. Hyperband distributes the trials over brackets, which begin at
    successively later rungs."""
    startup_trials: Annotated[int, Field(ge=1)] = 4
    """Random trials in each bracket before TPE uses the results"""

    @model_validator(mode="after")
    def _check_epochs(self) -> HyperbandSettings:
        if self.max_epochs <= self.min_epochs:
            raise SettingsError(
                f"max-epochs is {self.max_epochs} and min-epochs {self.min_epochs}",
                hint="max-epochs must be above min-epochs",
                fields=("min_epochs", "max_epochs"),
            )
        return self
