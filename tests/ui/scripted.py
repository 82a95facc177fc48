"""Answers by name, not by the order in which questions come."""

from collections.abc import Mapping
from typing import Any

from tfm.ui.prompts import Back, Question, ToMenu

BACK, LEAVE = object(), object()


class Scripted:
    """What isn't answered here gets its default. A list is answered from its front, a new one each time it is asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = {name: list(value) if isinstance(value, tuple) else [value] for name, value in answers.items()}
        self.asked: list[Question] = []

    @property
    def names(self) -> list[str]:
        return [question.name for question in self.asked]

    def ask(self, question: Question) -> Any:
        self.asked.append(question)
        waiting = self.answers.get(question.name, [])
        if not waiting:
            return question.default if question.choices else question.parse("")
        answer = waiting.pop(0)
        if answer is BACK:
            raise Back
        if answer is LEAVE:
            raise ToMenu
        if question.choices:
            offered = [choice.value for choice in question.choices if not choice.disabled]
            for one in answer if question.several else [answer]:
                assert one in offered, f"{question.name} does not offer {one!r}"
            return answer
        return question.parse(answer)
