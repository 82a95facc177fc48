"""Questions on a terminal. The only file that uses questionary.

Esc goes one question back and Ctrl-C to the menu; neither is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from tfm.ui.spell_references import spell


class Back(Exception):
    """Go one question back."""


class ToMenu(Exception):
    """Leave the form; the answers are kept."""


class _Explain(Exception):
    """The person pressed `?`."""


@dataclass(frozen=True)
class Choice:
    value: Any
    title: str
    about: str = ""
    disabled: str | None = None  # the reason
    section: str = ""


@dataclass(frozen=True)
class Question:
    name: str
    text: str
    why: str = ""
    choices: Sequence[Choice] = ()
    several: bool = False
    default: Any = None
    check: Callable[[str], Any] | None = None  # returns the value, or raises ValueError with the reason
    optional: bool = False
    is_path: bool = False
    can_go_back: bool = True

    @property
    def explanation(self) -> str:
        return self.why or "There is no explanation for this question."

    def parse(self, text: str) -> Any:
        value = text if text.strip() or self.default is None else self.default
        return self.check(value) if self.check else value

    def find_problem(self, text: str) -> str | None:
        try:
            self.parse(text)
        except ValueError as error:
            return spell(str(error))
        return None


class Asker(Protocol):
    def ask(self, question: Question) -> Any: ...


def create_asker(accessible: bool, console: Console) -> Asker:
    return PlainAsker(console) if accessible else KeyAsker(console)


def _format_explanation(question: Question, style: str = "") -> Text:
    return Text(question.why or "There is no explanation for this question.", style)


_BACK = object()
_STYLE = [
    ("qmark", "fg:ansicyan bold"),
    ("pointer", "fg:ansicyan bold"),
    ("highlighted", "fg:ansicyan bold"),
    ("disabled", "fg:ansibrightblack"),
    ("instruction", "fg:ansibrightblack"),
    ("separator", "bold"),
]
_ESCAPE_SECONDS = 0.1  # shorter: an arrow key over a slow line reads as Esc; the default (0.5) feels slow


class KeyAsker:
    """Arrow keys, Tab and Esc, in a real terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def ask(self, question: Question) -> Any:
        while True:
            try:
                answer = self._build_prompt(question).unsafe_ask()
            except _Explain:
                self.console.print(Text(question.explanation, "cyan"))
                continue
            except KeyboardInterrupt:
                raise ToMenu from None
            if answer is _BACK or (isinstance(answer, list) and _BACK in answer):
                raise Back
            return answer if question.choices else question.parse(answer)

    def _build_prompt(self, question: Question) -> Any:
        import questionary

        style = questionary.Style(_STYLE)
        if not question.choices:
            shown = f" [{question.default}]" if question.default not in (None, "", []) else ""
            ask = questionary.path if question.is_path else questionary.text
            text = f"{question.text}{shown}"
            prompt = ask(text, validate=lambda text: question.find_problem(text) or True, style=style)
        else:
            rows = self._build_rows(question)
            keys = ["space selects", "enter continues"] if question.several else []
            keys += ["Esc: back"] if question.can_go_back else []
            keys += ["?: explain"] if keys or question.why else []
            instruction = f"({', '.join(keys)})" if keys else " "
            words: dict[str, Any] = {"choices": rows, "style": style, "instruction": instruction}
            if question.several:
                complaint = True if question.optional else "select at least one with the space bar"
                prompt = questionary.checkbox(question.text, validate=lambda marked: bool(marked) or complaint, **words)
            else:  # questionary rejects a default that is disabled or missing
                enabled = [row.value for row in rows if isinstance(row, questionary.Choice) and not row.disabled]
                default = question.default if question.default in enabled else None
                prompt = questionary.select(question.text, default=default, **words)
        _bind_keys(prompt.application, question)
        return prompt

    def _build_rows(self, question: Question) -> list[Any]:
        import questionary

        rows: list[Any] = []
        section = ""
        width = max(len(choice.title) for choice in question.choices) + 3
        for choice in question.choices:
            if choice.section != section:
                section = choice.section
                rows.append(questionary.Separator(f"── {section}" if section else " "))
            checked = question.several and choice.value in (question.default or [])
            title = choice.title.ljust(width - 2 if choice.disabled else width) + choice.about  # "- " marks those
            rows.append(questionary.Choice(title.rstrip(), choice.value, disabled=choice.disabled, checked=checked))
        if question.can_go_back:
            rows += [questionary.Separator(" "), questionary.Choice("← Back", _BACK)]
        return rows


def _bind_keys(application: Any, question: Question) -> None:
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings
    from prompt_toolkit.key_binding.key_processor import KeyPress
    from prompt_toolkit.keys import Keys

    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: Any) -> None:
        if event.current_buffer.complete_state:
            event.current_buffer.cancel_completion()
        elif question.can_go_back:
            event.app.exit(exception=Back())

    def is_menu_open_and_nothing_marked() -> bool:
        state = application.current_buffer.complete_state
        return state is not None and state.current_completion is None

    @keys.add("enter", eager=True, filter=Condition(is_menu_open_and_nothing_marked))
    def _(event: Any) -> None:
        """Accept a complete path at the first Enter, even while completions are shown."""
        event.current_buffer.complete_state = None
        event.key_processor.feed(KeyPress(Keys.Enter), first=True)

    @keys.add("?", filter=Condition(lambda: not application.current_buffer.text))
    def _(event: Any) -> None:
        event.app.exit(exception=_Explain())

    application.key_bindings = merge_key_bindings([application.key_bindings, keys])
    application.ttimeoutlen = _ESCAPE_SECONDS


class PlainAsker:
    """Numbered lines, for screen readers and simple terminals. `<` goes back, `?` explains."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def ask(self, question: Question) -> Any:
        back = "<: back, " if question.can_go_back else ""
        shown = "" if question.default in (None, "", []) or question.choices else f" [{question.default}]"
        while True:
            self.console.print(question.text, style="bold")
            for number, choice in enumerate(question.choices, 1):
                note = f"  (not available: {choice.disabled})" if choice.disabled else ""
                note += "  (selected)" if question.several and choice.value in (question.default or []) else ""
                about = f": {choice.about}" if choice.about else ""
                self.console.print(f"  {number}. {choice.title}{about}{note}", markup=False)
            try:
                line = input(f"({back}?: explain){shown} > ").strip()
            except (KeyboardInterrupt, EOFError):
                raise ToMenu from None
            if line == "<" and question.can_go_back:
                raise Back
            if line == "?":
                self.console.print(Text(question.explanation))
                continue
            try:
                return self._parse_choice(question, line) if question.choices else question.parse(line)
            except ValueError as error:
                self.console.print(spell(f"This is not a valid answer: {error}"), style="red")

    def _parse_choice(self, question: Question, line: str) -> Any:
        if not line and question.default is not None:
            return question.default
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
