"""Who reads what the program shows: in which language, and with which terminal.

Options of every command and variables of the environment decide it; the options win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfm.core.errors import SettingsError
from tfm.ui.translate import find_language, list_languages, set_language

_is_accessible = False


def take_reader_options(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Remove the options about the reader from a command line, and act on them and on the environment."""
    global _is_accessible
    set_language(find_language(environment))
    wishes = environment.get("TFM_ACCESSIBLE", "") not in ("", "0")
    _is_accessible = wishes or environment.get("TERM") in ("dumb", "unknown")
    rest, waiting = [], list(words)
    while waiting:
        name, equals, value = (word := waiting.pop(0)).partition("=")
        if word == "--accessible":
            _is_accessible = True
        elif name == "--language":
            language = value if equals else waiting.pop(0) if waiting else ""
            if language not in list_languages():
                raise SettingsError(
                    f"there is no language called {language!r}", hint=f"there are: {', '.join(list_languages())}"
                )
            set_language(language)
        else:
            rest.append(word)
    return rest


def is_accessible() -> bool:
    """Whether nothing may move and nothing be drawn: for screen readers and terminals without a cursor."""
    return _is_accessible
