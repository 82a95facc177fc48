"""Similar letters instead of what a terminal without Unicode does not have."""

from __future__ import annotations

import codecs
import contextlib
import sys
import unicodedata
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, TextIO

_SIMILAR = {"*": "●◉✓▸", ".": "○·┊…", "-": "–—−─━", '"': "“”", "_": "▁▂▃", "=": "▄▅▆▇█▀", "~": "≈±", "'": "’‘",
            "|": "│║┃‖", ">": "→»≥", "<": "←≤", "x": "×✗", "+": "╭╮╰╯┌┐└┘├┤┬┴┼", "": "¿¡"}  # fmt: skip
_GLYPHS = {glyph: similar for similar, glyphs in _SIMILAR.items() for glyph in glyphs}


def replace_missing_glyphs() -> None:
    codecs.register_error("similar", _find_similar)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="similar")


def _find_similar(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_replace_glyph, error.object[error.start : error.end])), error.end


def _replace_glyph(glyph: str) -> str:
    plain = unicodedata.normalize("NFKD", glyph).encode("ascii", "ignore").decode()
    return _GLYPHS.get(glyph, plain or "?")


class _WithoutBuffer:
    """A stream as prompt_toolkit needs it to leave the encoding to the stream."""

    def __init__(self, stream: TextIO) -> None:
        self.encoding, self.isatty, self.fileno = stream.encoding, stream.isatty, stream.fileno
        self.write, self.flush = stream.write, stream.flush


@contextlib.contextmanager
def prompt_with_similar_glyphs() -> Iterator[None]:
    """prompt_toolkit encodes what it writes by itself, and would write a question mark."""
    if sys.stdout.encoding.lower().startswith("utf"):
        yield
        return
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.output import create_output

    stream: Any = _WithoutBuffer(sys.stdout)
    with create_app_session(output=create_output(stream)):
        yield
