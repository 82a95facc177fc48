"""Answer questions by name, not by their order."""

from collections.abc import Mapping
from typing import Any

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

    def ask(self, question: Question) -> Any:
        self.asked.append(question)
        assert self.names.count(question.name) <= _MOST_TIMES, f"{question.name} is asked again and again"
        self.opened.add(question.name)
        unopened = [one.value for one in question.choices if one.value in self.answers and one.value not in self.opened]
        if question.name == "review" and unopened:
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
