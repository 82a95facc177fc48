"""Answer questions by name, not by their order."""

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tfm.ui.prompts import Back, Pressed, Question, ToMenu

BACK, LEAVE = object(), object()
_MOST_TIMES = 20


class Scripted:
    """A question without an answer gets its default; a tuple holds one answer for each time a question is asked.

    On the review of a form, every row that has an answer is opened once, before the answers to the review count.
    A question that has no valid default fails, and so does one that is asked again and again: no test waits for ever.
    """

    is_plain = False

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = {name: list(value) if isinstance(value, tuple) else [value] for name, value in answers.items()}
        self.asked: list[Question] = []
        self.opened: set[str] = set()  # rows of a review

    @property
    def names(self) -> list[str]:
        return [question.name for question in self.asked]

    def find(self, name: str) -> list[Question]:
        """The question, as it was each time."""
        return [question for question in self.asked if question.name == name]

    def ask(self, question: Question) -> Any:
        self.asked.append(question)
        assert self.names.count(question.name) <= _MOST_TIMES, f"{question.name} is asked again and again"
        self.opened.add(question.name)
        names = [choice.value for choice in question.choices] if question.name == "review" else []
        unopened = [name for name in names if name in self.answers and name not in self.opened]
        if unopened:
            return unopened[0]
        waiting = self.answers.get(question.name, [])
        if not waiting and not question.choices:
            return question.parse("")
        answer = waiting.pop(0) if waiting else question.default
        if answer is BACK:
            raise Back
        if answer is LEAVE:
            raise ToMenu
        if isinstance(answer, Pressed):
            assert answer.key in question.actions, f"{question.name} has no key {answer.key}"
            return answer
        if question.choices:
            offered = [choice.value for choice in question.choices if not choice.disabled]
            for one in answer if question.several else [answer]:
                assert one in offered, f"{question.name} does not offer {one!r}, and no other answer is left"
            return answer
        return question.parse(answer)


def read_rows(question: Question) -> dict[Any, str]:
    """The values that can be chosen, with what is said of each."""
    return {choice.value: choice.about for choice in question.choices if not choice.disabled}


def read_head(question: Question) -> str:
    """What stands above a question."""
    console = Console(file=io.StringIO(), width=100)
    console.print(question.head if question.head is not None else "")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
