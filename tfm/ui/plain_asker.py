"""Questions as numbered lines, for screen readers and simple terminals."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from tfm.ui.prompts import Back, Choice, Pressed, Question, ToMenu
from tfm.ui.spell_question import spell_question
from tfm.ui.spell_references import spell


class PlainAsker:
    """`<` goes back, `?` explains, `!` shows the choices again; an action's key is typed as it is."""

    is_plain = True

    def __init__(self, console: Console) -> None:
        self.console = console

    def ask(self, question: Question) -> Any:
        question = spell_question(question)
        self._print_question(question)
        while True:
            try:
                line = input(_describe_keys(question)).strip()
            except (KeyboardInterrupt, EOFError):
                raise ToMenu from None
            if line == "<" and question.can_go_back:
                raise Back
            if line == "?" and question.why:
                self.console.print(Text(question.why))
                continue
            if line == "!" and question.choices:
                self._print_question(question)
                continue
            if line in question.actions:
                return Pressed(line, question.default)
            try:
                return self._parse_choice(question, line) if question.choices else question.parse(line)
            except ValueError as error:
                self.console.print(Text(spell(f"This is not a valid answer: {error}"), "red"))

    def _print_question(self, question: Question) -> None:
        if question.head is not None:
            self.console.print(question.head)
        self.console.print(Text(f"{question.text}  {question.aside}".rstrip(), "bold"))
        section = ""
        for number, choice in enumerate(question.choices, 1):
            if choice.section and choice.section != section:
                self.console.print(Text(choice.section))
            section = choice.section
            self.console.print(Text(f"  {number}. {_describe_choice(question, choice)}"), soft_wrap=True)

    def _parse_choice(self, question: Question, line: str) -> Any:
        if not line and question.default is not None:
            return question.default
        if question.several and line in question.marks:
            return list(question.marks[line][1])
        picked = []
        for part in line.replace(",", " ").split():
            if not part.isdigit() or not 1 <= int(part) <= len(question.choices):
                raise ValueError(f"{part} is not one of the numbers")
            choice = question.choices[int(part) - 1]
            if choice.disabled:
                raise ValueError(choice.disabled)
            picked.append(choice.value)
        if question.several and (picked or question.optional):
            return picked
        if len(picked) != 1:
            raise ValueError("enter at least one number" if question.several else "enter one of the numbers")
        return picked[0]


def _describe_choice(question: Question, choice: Choice) -> str:
    cells = [
        f"{name} {cell}".strip() for name, cell in zip(question.columns[1:], choice.cells[1:], strict=True) if cell
    ]
    about = ", ".join(cells) or choice.about
    chosen = question.default or [] if question.several else [question.default]
    return "".join(
        [
            choice.cells[0] if choice.cells else choice.title,
            f": {about}" if about else "",
            spell(f" (not available: {choice.disabled})") if choice.disabled else "",
            spell(" (selected)") if choice.value in chosen else "",
        ]
    )


def _describe_keys(question: Question) -> str:
    keys = [spell("<: back")] if question.can_go_back else []
    keys += [spell("?: explain")] if question.why else []
    keys += [spell("!: list again")] if question.choices else []
    keys += [f"{key}: {label}" for key, (label, _) in question.marks.items()]
    keys += [f"{key}: {label}" for key, label in question.actions.items()]
    has_default = question.default not in (None, "", []) and not question.choices
    return f"({', '.join(keys)}){f' [{question.default}]' if has_default else ''} > "
