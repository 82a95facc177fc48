"""Why settings are refused, in words for a person. What is refused is decided in `settings` and by the types there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from tfm.core.errors import SettingsError


def build_validation_error(error: ValidationError, questions: Mapping[str, str]) -> SettingsError:
    """All that pydantic found wrong; `questions` are those of the settings by name."""
    wrong: dict[tuple[str, str], list[str]] = {}  # what could have been given, each way of it
    for item in error.errors():
        where = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
        if item["type"] == "extra_forbidden":
            return build_unknown_setting_error(where[-1], questions)
        name = next((part for part in reversed(where) if part in questions), ".".join(where))
        what = describe_problem(item)
        shown = item.get("input")
        given = f" (given: {shown})" if item["type"] != "missing" and isinstance(shown, str | int | float) else ""
        wrong.setdefault((name, given), []).append(what)
    known = [name for name in dict.fromkeys(name for name, _ in wrong) if name in questions]
    return SettingsError(
        "\n".join(
            (f"{name.replace('_', '-')}: " if name else "") + ", or ".join(dict.fromkeys(ways)) + given
            for (name, given), ways in wrong.items()
        ),
        hint="\n".join(f"{name.replace('_', '-')}: {questions[name]}" for name in known)
        or "change one of the settings named above",
        fields=tuple(known),
    )


_PLAIN_WORDS = {
    "missing": "is needed",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be yes or no",
    "string_pattern_mismatch": "may hold letters, digits, dots, dashes and underscores only, a letter or digit first",
    "too_short": "needs at least one",
    "string_too_long": "is too long",
}


def describe_problem(item: Mapping[str, Any]) -> str:
    """pydantic's complaint in words for a person."""
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return _PLAIN_WORDS.get(item["type"], message[:1].lower() + message[1:])


def build_unknown_setting_error(name: str, known: Iterable[str]) -> SettingsError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {close[0]}?" if close else "the settings are: " + ", ".join(sorted(known))
    return SettingsError(f"no setting is called {name}", hint=hint)


def build_no_effect_error(where: Mapping[str, str], setting: str) -> SettingsError:
    """Each setting that was given, with where it does nothing; `setting` is what keeps the first from it."""
    names = ", ".join(name.replace("_", "-") for name in where)
    return SettingsError(
        "\n".join(f"{name.replace('_', '-')} has no effect where {why}" for name, why in where.items()),
        hint=f"leave out {names}, or choose another value for {setting.replace('_', '-')}",
        fields=tuple(where),
    )


def build_unknown_part_error(place: str, name: str, known: Iterable[str], field: str) -> SettingsError:
    """A word that reaches into a mapping where nothing of that name is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return SettingsError(
        f"nothing in {place} is called {name}" + (f": did you mean {close[0]}?" if close else ""),
        hint=f"there are: {', '.join(names)}" if names else f"{place} has nothing to be set",
        fields=(field,),
    )
