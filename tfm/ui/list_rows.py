"""The rows of a list as styled text: widths, marks, sections, and what fits into a narrow window."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import accumulate

from prompt_toolkit.formatted_text import StyleAndTextTuples
from rich.cells import cell_len

from tfm.ui.list_state import ListState
from tfm.ui.prompts import Choice, Question

_GAP = 2
_POINTER, _ON, _OFF, _MORE = "»", "◉", "○", "…"
_PREFIX = 3  # the pointer with its spaces; a mark takes two more
_LONGEST_TITLE = 0.6  # of the width


def draw_rows(state: ListState, width: int) -> StyleAndTextTuples:
    question, current = state.question, state.current
    room = width - _PREFIX - (2 if question.several else 0)
    widths, right = _compute_widths(question, room), _find_right_aligned(question)
    drawn: StyleAndTextTuples = []
    section = ""
    for row in state.rows:
        if row.section != section:
            section = row.section
            drawn += [("class:section", f" {section}\n")] if section else []
        style = "class:disabled" if row.disabled else "class:pointer" if row is current else ""
        if row is current:
            drawn.append(("[SetCursorPosition]", ""))
        mark = f"{_ON if row.value in state.marked else _OFF} " if question.several else ""
        drawn.append((style, f" {_POINTER if row is current else ' '} {mark}"))
        if question.columns:
            drawn.append((style, _join_cells(row.cells, widths, right)))
        else:
            drawn += _draw_title(row, widths[0], room, style)
        drawn.append(("", "\n"))
    return drawn[:-1]


def format_headings(question: Question, width: int) -> str:
    indent = _PREFIX + (2 if question.several else 0)
    widths = _compute_widths(question, width - indent)
    return " " * indent + _join_cells(question.columns, widths, _find_right_aligned(question))


def list_cards(question: Question, width: int) -> list[str]:
    """The card of each row; of a row without one, what its line has no room for."""
    if question.columns:
        return [choice.card for choice in question.choices]
    room = width - _PREFIX - (2 if question.several else 0)
    (title_width,) = _compute_widths(question, room)
    abouts = [choice.disabled or choice.about for choice in question.choices]
    too_long = [about if cell_len(about) > room - title_width - _GAP else "" for about in abouts]
    return [choice.card or about for choice, about in zip(question.choices, too_long, strict=True)]


def wrap_card(text: str, width: int, most_lines: int, fewest_lines: int = 0) -> str:
    """Break the text at its spaces; a text that is too long ends with an ellipsis."""
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, width - 2) or [""]]
    lines += [""] * (fewest_lines - len(lines))
    if len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], lines[most_lines - 1][: width - 4] + " " + _MORE]
    return "─" * (width - 2) + "\n" + "\n".join(f" {line}" for line in lines)


def shorten(text: str, width: int) -> str:
    """Cut a text between two words; a single long word loses its middle, because its ends tell it from others."""
    if cell_len(text) <= width:
        return text
    cut = text[: max(0, width - 1)]
    at_word = cut.rpartition(" ")[0].rstrip(" ,;:.")
    if len(at_word) >= width // 2:
        return f"{at_word}{_MORE}"
    half = max(0, (width - 1) // 2)
    return text[: width - 1 - half] + _MORE + text[len(text) - half :] if width > 0 else ""


def _compute_widths(question: Question, room: int) -> list[int]:
    """The widths of the columns that fit, or of the titles."""
    if not question.columns:
        longest = max((cell_len(choice.title) for choice in question.choices), default=0)
        has_about = any(choice.about or choice.disabled for choice in question.choices)
        return [min(longest, int(room * _LONGEST_TITLE) if has_about else room)]
    cells = [question.columns, *(choice.cells for choice in question.choices)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    ends = [end - _GAP for end in accumulate(width + _GAP for width in widths)]
    shown = max(1, sum(end <= room for end in ends))
    return [min(widths[0], room), *widths[1:shown]]


def _find_right_aligned(question: Question) -> list[bool]:
    """Columns of numbers."""
    columns = zip(*(choice.cells for choice in question.choices), strict=True)
    found = [[cell for cell in column if cell not in ("", "–")] for column in columns]
    return [bool(cells) and all(cell.lstrip("≈−- ")[:1].isdigit() for cell in cells) for cells in found]


def _join_cells(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    short = [shorten(cell, width) for cell, width in zip(cells, widths, strict=False)]
    padding = [" " * (width - cell_len(cell)) for cell, width in zip(short, widths, strict=True)]
    whole = [gap + cell if is_right else cell + gap for cell, gap, is_right in zip(short, padding, right, strict=False)]
    return (" " * _GAP).join(whole).rstrip()


def _draw_title(row: Choice, width: int, room: int, style: str) -> StyleAndTextTuples:
    about = row.disabled or row.about
    title = shorten(row.title, width)
    rest = shorten(about, room - width - _GAP)
    if not rest:
        return [(style, title)]
    return [(style, title + " " * (width - cell_len(title) + _GAP)), ("class:disabled" if row.disabled else "", rest)]
