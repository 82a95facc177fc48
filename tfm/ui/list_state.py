"""What a person did in a list so far: the cursor, the marks and the filter. Nothing here draws or reads keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfm.ui.prompts import Choice, Question


class ListState:
    def __init__(self, question: Question) -> None:
        self.question = question
        self.marked = list(question.default or []) if question.several else []
        self.filter: str | None = None  # the text after `/`
        self.problem = ""
        self.shows_help = False
        self.position = self._find_start()

    @property
    def rows(self) -> list[Choice]:
        wanted = (self.filter or "").lower()
        return [choice for choice in self.question.choices if wanted in _join_texts(choice).lower()]

    @property
    def current(self) -> Choice | None:
        rows = self.rows
        return rows[min(self.position, len(rows) - 1)] if rows else None

    def _find_start(self) -> int:
        """The row of the default or the first marked one, which a person must see; else one that can be chosen."""
        values = [choice.value for choice in self.question.choices if not choice.disabled]
        preferred = self.marked if self.question.several else [self.question.default]
        wanted = next((value for value in values if value in preferred), next(iter(values), None))
        return next((index for index, choice in enumerate(self.question.choices) if choice.value == wanted), 0)

    def update(self, question: Question) -> None:
        """Take the question as it is now; the cursor stays on its row, and the marks stay where they can."""
        before = self.current
        self.question = question
        values = [choice.value for choice in self.rows]
        if before is not None and before.value in values:
            self.position = values.index(before.value)
        enabled = [choice.value for choice in question.choices if not choice.disabled]
        self.marked = [value for value in self.marked if value in enabled]

    def move(self, by: int, *, around: bool = False) -> None:
        """Move the cursor; `around` goes from one end to the other."""
        count, start = len(self.rows), min(self.position, len(self.rows) - 1)
        self.problem = ""
        self.position = (start + by) % max(1, count) if around else max(0, min(start + by, count - 1))

    def toggle(self) -> None:
        row = self.current
        if row is None:
            return
        self.problem = row.disabled or ""
        if row.disabled:
            return
        if row.value in self.marked:
            self.marked.remove(row.value)
        else:
            self.marked.append(row.value)

    def mark(self, values: Sequence[Any]) -> None:
        """Mark these values, or take their marks away if all of them are marked."""
        enabled = [choice.value for choice in self.question.choices if choice.value in values and not choice.disabled]
        others = [value for value in self.marked if value not in enabled]
        has_all = all(value in self.marked for value in enabled)
        self.marked = others if has_all else [*others, *enabled]
        self.problem = "" if enabled else "None of these can be marked."

    def read_answer(self) -> Any:
        """The answer that Enter gives; if it gives none, `problem` says why."""
        if self.question.several:
            self.problem = self.question.find_choice_problem(self.marked) or ""
            return [value for value in self._values if value in self.marked]
        row = self.current
        self.problem = (row.disabled or "") if row else "Nothing matches."
        return row.value if row else None

    def set_filter(self, text: str | None) -> None:
        """Filter the rows; without a text show all, with the cursor on the same row."""
        row = self.current
        self.filter, self.position, self.problem = text, 0, ""
        if text is None and row is not None:
            self.position = self._values.index(row.value)

    @property
    def _values(self) -> list[Any]:
        return [choice.value for choice in self.question.choices]


def _join_texts(choice: Choice) -> str:
    return " ".join([choice.title, *choice.cells, choice.about])
