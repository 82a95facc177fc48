"""Who reads what the program shows: in which language, and with which terminal.

Options of every command and variables of the environment decide it; the options win.
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import MutableMapping, Sequence
from io import TextIOWrapper

from tfm.core.errors import SettingsError
from tfm.ui.translate import find_language, list_languages, set_language

_ACCESSIBLE, _LANGUAGE = "TFM_ACCESSIBLE", "TFM_LANGUAGE"
_SIMILAR = {"*": "●◉✓▸", ".": "○·┊…", "-": "–—−─━", '"': "“”", "_": "▁▂▃", "=": "▄▅▆▇█▀", "~": "≈±", "'": "’‘",
            "|": "│║┃", ">": "→»≥", "<": "←≤", "x": "×✗", "": "¿¡"}  # fmt: skip
_GLYPHS = {glyph: similar for similar, glyphs in _SIMILAR.items() for glyph in glyphs}


def take_reader_options(words: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Remove the options about the reader from a command line, and act on them and on the environment."""
    rest, waiting = [], list(words)
    while waiting:
        name, equals, value = (word := waiting.pop(0)).partition("=")
        if word == "--accessible":
            environment[_ACCESSIBLE] = "1"
        elif name == "--language":
            language = value if equals else waiting.pop(0) if waiting else ""
            if language not in list_languages():
                raise SettingsError(
                    f"there is no language called {language!r}", hint=f"there are: {', '.join(list_languages())}"
                )
            environment[_LANGUAGE] = language
        else:
            rest.append(word)
    set_language(find_language(environment))
    return rest


def is_accessible() -> bool:
    """Whether nothing may move and nothing be drawn: for screen readers and terminals without a cursor."""
    return os.environ.get(_ACCESSIBLE, "") not in ("", "0") or os.environ.get("TERM") in ("dumb", "unknown")


def replace_missing_glyphs() -> None:
    """Let a terminal without Unicode show a similar letter instead of what it does not have."""
    codecs.register_error("similar", _find_similar)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="similar")


def _find_similar(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_replace_glyph, missing)), error.end


def _replace_glyph(glyph: str) -> str:
    plain = unicodedata.normalize("NFKD", glyph).encode("ascii", "ignore").decode()
    return _GLYPHS.get(glyph, plain or "?")
