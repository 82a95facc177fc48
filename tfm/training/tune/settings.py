"""What a person may choose about a search: the space, how trials are cut short, where they are written down.

Whether a space fits a stage's settings is told here too; what is drawn from it is the study's affair.
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
from tfm.core.settings.fields import SettingField
from tfm.core.settings.schema import IMPORTANT, Settings

_RANGE = {"low", "high", "log", "step"}
_HOW = "write a list of values, as in [adamw, sgd], or a range, as in {low: 0.0001, high: 0.01, log: true}"


def parse_space(
    space: Mapping[str, Any], known: Mapping[str, SettingField], elsewhere: Mapping[str, str]
) -> dict[str, Any]:
    """Setting → values to choose among, or the range to draw from, each in the setting's own type. `elsewhere` says
    where that is said which no space can name."""
    if not space:
        raise _refused("the space to search is empty", "name at least one setting. " + _HOW)
    for name in space:
        if name not in known:
            hint = elsewhere.get(name) or messages.build_unknown_setting_error(name, known).hint
            raise _refused(f"the space to search names {name}, which cannot be searched", hint)
    return {name: _options(name, options, known[name]) for name, options in space.items()}


def _options(name: str, options: Any, field: SettingField) -> list[Any] | dict[str, Any]:
    if isinstance(options, Mapping):
        return _range(name, options, field)
    if not isinstance(options, list | tuple) or not options:
        raise _refused(f"the space to search says nothing to choose from for {name}", _HOW)
    return list(dict.fromkeys(_value(name, option, field) for option in options))


def _range(name: str, given: Mapping[str, Any], field: SettingField) -> dict[str, Any]:
    _check_words(name, given)
    low, high = (_value(name, given[end], field) for end in ("low", "high"))
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)):
        raise _refused(f"{name} is no number: there is no range of it", _HOW)
    log, step = given.get("log", False), given.get("step")
    if low >= high:
        raise _refused(f"the range of {name} is empty: from {low} to {high}", "low must be below high")
    if not isinstance(log, bool):
        raise _refused(f"log of the range of {name} is {log}", "log is true or false")
    if log and (low <= 0 or step is not None):
        raise _refused(f"the range of {name} cannot be logarithmic", "log needs a low above zero, and no step")
    if step is not None and not _is_step(step, low, high):
        raise _refused(f"the range of {name} cannot go in steps of {step}", "step must fit between low and high")
    return {"low": low, "high": high} | ({"log": True} if log else {}) | ({"step": step} if step is not None else {})


def _check_words(name: str, given: Mapping[str, Any]) -> None:
    for word in given.keys() - _RANGE:
        close = difflib.get_close_matches(str(word), _RANGE, n=1)
        hint = f"did you mean {close[0]}?" if close else _HOW
        raise _refused(f"the range of {name} holds {word}, which no range has", hint)
    for end in ("low", "high"):
        if end not in given:
            raise _refused(f"the range of {name} has no {end}", _HOW)


def _is_step(step: Any, low: float, high: float) -> bool:
    """Of whole numbers the steps are whole too."""
    kinds = int if isinstance(low, int) and isinstance(high, int) else int | float
    return isinstance(step, kinds) and not isinstance(step, bool) and 0 < step <= high - low


def _value(name: str, value: Any, field: SettingField) -> Any:
    try:
        return field.parse(value)
    except ValueError as error:
        among = f": {', '.join(map(str, field.choices))}" if field.choices else ""
        raise _refused(
            f"the space to search holds {value} for {name}: {error}",
            f"give values that {hints.setting(name)} of {hints.command('train')} takes{among}",
        ) from None


def _refused(message: str, hint: str) -> SettingsError:
    return SettingsError(message, hint=hint, fields=("space",))


_SQLITE_FILE = re.compile(r"sqlite(\+\w+)?:///")  # no user, and so no password
# To the last "@", for a password may hold any character that ends other parts of an address; where that one stands in a
# password of the query, to the end of that.
_PASSWORD = re.compile(r"(?is)^((?:[\w+.-]*:?//)?[^:]*):(?!//)(?:.*pass[^=&]*=[^&]*@[^&]*|.*@)")
_PASSWORD_BY_NAME = re.compile(r"(?is)[\w.-]*pass[\w.-]*\s*=[^&]*&*")


def _without_password(value: Any) -> Any:
    """An address without its password, before anything is checked: a refusal shows what it was given."""
    if not isinstance(value, str) or _SQLITE_FILE.match(value):
        return value
    return _PASSWORD_BY_NAME.sub("", _PASSWORD.sub(r"\1@", value)).rstrip("?&")


def _reachable_from_anywhere(url: str) -> str:
    """An SQLite file is meant as seen from here, wherever the run is taken up again."""
    if not re.match(r"[a-z][a-z0-9+]*://", url):
        raise ValueError("give an address, as in sqlite:///study.db or postgresql://user@host/name")
    if not url.startswith("sqlite"):
        return url
    head, _, path = url.partition(":///")
    if not path or ":memory:" in path or "mode=memory" in path:  # which nobody could take up again
        raise ValueError("give the file too, as in sqlite:///study.db")
    return f"{head}:///{Path(path).expanduser().resolve()}"


# The last comes first, and the other is given what it leaves, to show in a refusal too.
StorageUrl = Annotated[str, AfterValidator(_reachable_from_anywhere), BeforeValidator(_without_password)]


class HyperbandSettings(Settings):
    min_epochs: Annotated[int, Field(ge=1)] = 4
    """Epochs that every trial gets before it may be cut short"""
    max_epochs: Annotated[int, Field(ge=2), IMPORTANT] = 12
    """Epochs of a trial that is never cut short"""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """How many trials there are for each that may go on
    At each rung (min-epochs, then each time so many times as many) about one in that many goes on, the others are
    pruned. Hyperband shares the trials out between brackets, which set their first rung later and later."""
    startup_trials: Annotated[int, Field(ge=1)] = 4
    """Trials of each bracket that are drawn at random before TPE learns from them"""

    @model_validator(mode="after")
    def _rises(self) -> HyperbandSettings:
        if self.max_epochs <= self.min_epochs:
            raise SettingsError(
                f"a trial would get {self.min_epochs} epochs at least and {self.max_epochs} at most",
                hint="max-epochs must be above min-epochs",
                fields=("min_epochs", "max_epochs"),
            )
        return self
