"""Build the error messages about settings. `resolve` and the types in `schema` decide what is an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from tfm.core import hints
from tfm.core.errors import SettingsError

_PLAIN_WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be yes or no",
    "string_pattern_mismatch": "may only contain letters, digits, dots, dashes and underscores, "
    "and must begin with a letter or digit",
    "too_short": "needs at least one value",
    "string_too_long": "is too long",
}


def describe_problem(item: Mapping[str, Any]) -> str:
    """One problem that pydantic found, in plain words."""
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return _PLAIN_WORDS.get(item["type"], message[:1].lower() + message[1:])


def build_validation_error(error: ValidationError, questions: Mapping[str, str]) -> SettingsError:
    """All problems that pydantic found, one line for each setting; `questions` maps setting names to questions."""
    problems: dict[tuple[str, str], list[str]] = {}  # several if a type has alternatives
    for item in error.errors():
        where = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
        if item["type"] == "extra_forbidden":
            return build_unknown_setting_error(where[-1], questions)
        name = next((part for part in reversed(where) if part in questions), ".".join(where))
        value = item.get("input")
        given = f" (given: {value})" if item["type"] != "missing" and isinstance(value, str | int | float) else ""
        problems.setdefault((name, given), []).append(describe_problem(item))
    known = [name for name in dict.fromkeys(name for name, _ in problems) if name in questions]
    return SettingsError(
        "\n".join(_describe_problems(name, reasons, given) for (name, given), reasons in problems.items()),
        hint="\n".join(f"{questions[name]} ({hints.setting(name)})" for name in known)
        or "change one of the settings named above",
        fields=tuple(known),
    )


def _describe_problems(name: str, reasons: list[str], given: str) -> str:
    """A sentence, as in "batch-size must be a whole number", or the reason behind the name if it is one by itself."""
    label, reason = name.replace("_", "-"), ", or ".join(dict.fromkeys(reasons)) + given
    has_verb = reason.startswith(("must ", "is ", "needs ", "may "))
    return f"{label}{'' if has_verb else ':'} {reason}" if label else reason


def build_unknown_setting_error(name: str, known: Iterable[str]) -> SettingsError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {close[0]}?" if close else "the settings are: " + ", ".join(sorted(known))
    return SettingsError(f"there is no setting called {name}", hint=hint)


def build_no_effect_error(conditions: Mapping[str, str], setting: str) -> SettingsError:
    """Each given setting that has no effect, with its condition; `setting` is the one that decides this."""
    names = ", ".join(name.replace("_", "-") for name in conditions)
    return SettingsError(
        "\n".join(f"{name.replace('_', '-')} has no effect when {why}" for name, why in conditions.items()),
        hint=f"leave out {names}, or choose another value for {setting.replace('_', '-')}",
        fields=tuple(conditions),
    )


def build_unknown_part_error(place: str, name: str, known: Iterable[str], field: str) -> SettingsError:
    """`place` is a mapping or a part of one, which contains nothing called `name`."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return SettingsError(
        f"{place} contains nothing called {name}" + (f": did you mean {close[0]}?" if close else ""),
        hint=f"{place} contains: {', '.join(names)}" if names else f"{place} has no settings",
        fields=(field,),
    )
