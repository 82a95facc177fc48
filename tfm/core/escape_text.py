"""Escape text of users and files, such as names of patients, where a terminal, a document or a spreadsheet would
read it as commands. HTML is escaped by Jinja2."""

from __future__ import annotations

import re
from pathlib import Path

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    # Without these groups, LaTeX joins two characters to one: -- to a dash, '' to a quotation mark.
    "-": "-{}",
    "`": "`{}",
    "'": "'{}",
    # At the start of a row, these would belong to the command that ends the row before.
    "[": "{[}",
    "*": "{*}",
    "\N{MINUS SIGN}": "$-$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≈": r"$\approx$",
    "→": r"$\rightarrow$",
}
_KNOWN_TO_LATEX = r" -~\u00a1-\u00ac\u00ae-\u017e–—‘’“”…"  # pdfLaTeX with T1 fonts
_NOT_PLAIN_LATEX = re.compile(f"[{re.escape(''.join(_LATEX))}]|[^{_KNOWN_TO_LATEX}]")
_MARKDOWN_SIGNS = re.compile(r"([\\`*\[\]<>|~#&$]|(?<![^\W_])_|_(?![^\W_]))")
_MARKDOWN_STARTS = re.compile(r"^(=|[-+](?![\d.]))")  # a title or a list, but not a number
_MARKDOWN_NUMBERING = re.compile(r"^(\d+)([.)])(?=\s|$)")
# What moves the cursor, changes the direction of the text or is no character. Tabs and line breaks are layout.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NO_CHARACTER = re.compile(r"[\ud800-\udfff]")  # half of a character, or a byte of a file name that is not UTF-8
_FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")  # the last four: full width


def escape_latex(text: str) -> str:
    """Escape text for LaTeX. A character that pdfLaTeX cannot print becomes its number, such as U+4E2D."""
    with_minus = re.sub(r"(?<![\w.)-])-(?=\.?\d)", "\N{MINUS SIGN}", _join_lines(text))
    return _NOT_PLAIN_LATEX.sub(lambda found: _LATEX.get(found[0]) or f"U+{ord(found[0]):04X}", with_minus)


def escape_terminal(text: str) -> str:
    """Leave out what a terminal would obey. The rest keeps its width."""
    if text.isprintable():  # most text is, and large tables have thousands of cells
        return text
    return _NO_CHARACTER.sub("?", _CONTROL.sub("", text))


def is_utf8(path: Path) -> bool:
    """Whether a path can be written into a file. A disk of another system may have other names."""
    return not _NO_CHARACTER.search(str(path))


def escape_markdown(text: str) -> str:
    """Escape text for Markdown, also for a cell of a table."""
    text = _MARKDOWN_SIGNS.sub(r"\\\1", _join_lines(text))
    text = _MARKDOWN_STARTS.sub(r"\\\1", text)
    return _MARKDOWN_NUMBERING.sub(r"\1\\\2", text)


def escape_csv_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula. Numbers stay numbers.

    The csv module quotes commas and quotation marks.
    """
    text = escape_terminal(text)
    return f"'{text}" if _looks_like_formula(text) else text


def _looks_like_formula(text: str) -> bool:
    starts_badly = text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA_STARTS)
    return starts_badly and not re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", text)


def _join_lines(text: str) -> str:
    """Replace line breaks by spaces and leave out other control characters."""
    if text.isprintable():
        return text
    return escape_terminal(re.sub(r"\s*[\r\n\t\u2028\u2029]+\s*", " ", text))
