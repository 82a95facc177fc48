"""Escape text that users and files supply, such as names of runs, for documents that would read it as commands.
HTML is escaped by Jinja2."""

from __future__ import annotations

import re

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
_LATEX_KNOWS = re.compile(r"[ -~\u00a1-\u00ac\u00ae-\u017e–—‘’“”…]")  # pdfLaTeX with T1 fonts
_FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")  # the last four: full width


def escape_latex(text: str) -> str:
    """Escape text for LaTeX. A character that pdfLaTeX cannot print becomes its number, such as U+4E2D."""
    with_minus = re.sub(r"(?<![\w.)-])-(?=\.?\d)", "\N{MINUS SIGN}", _join_lines(text))
    return "".join(map(_escape_latex_character, with_minus))


def _escape_latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    return character if _LATEX_KNOWS.match(character) else f"U+{ord(character):04X}"


def escape_markdown(text: str) -> str:
    """Escape text for Markdown, also for a cell of a table."""
    text = re.sub(r"([\\`*_\[\]<>|~#&$])", r"\\\1", _join_lines(text))
    text = re.sub(r"^(=|[-+](?![\d.]))", r"\\\1", text)  # a title or a list, but not a number
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)


def escape_csv_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula. Numbers stay numbers.

    The csv module quotes commas and quotation marks.
    """
    return f"'{text}" if _looks_like_formula(text) else text


def _looks_like_formula(text: str) -> bool:
    starts_badly = text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA_STARTS)
    return starts_badly and not re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", text)


def _join_lines(text: str) -> str:
    """Replace line breaks by spaces and leave out other control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", re.sub(r"\s*[\r\n\t\u2028\u2029]+\s*", " ", text))
