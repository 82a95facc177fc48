"""Questions in a real terminal: lists with keys, and texts with questionary."""

from __future__ import annotations

import sys
import termios
from typing import Any

from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.filters import Condition
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from rich.console import Console
from rich.text import Text

from tfm.ui.list_prompt import ESCAPE_SECONDS, ListPrompt
from tfm.ui.prompts import Back, Question, ToMenu
from tfm.ui.spell_question import spell_question
from tfm.ui.spell_references import spell


class _Explain(Exception):
    """The person pressed `?`."""


class KeyAsker:
    """Arrow keys, Tab and Esc, in a real terminal."""

    is_plain = False

    def __init__(self, console: Console) -> None:
        self.console = console

    def ask(self, question: Question) -> Any:
        flush_keys()
        question = spell_question(question)
        try:
            return ListPrompt(question, self.console).run() if question.choices else self._ask_text(question)
        except (KeyboardInterrupt, EOFError):
            raise ToMenu from None

    def _ask_text(self, question: Question) -> Any:
        if question.head is not None:
            self.console.clear()
            self.console.print(question.head)
        while True:
            try:
                return question.parse(_build_text_prompt(question).unsafe_ask())
            except _Explain:
                self.console.print(Text(question.why, "cyan"))


def flush_keys() -> None:
    """Drop the keys that were typed before: they were meant for another screen."""
    clear_typeahead(get_app_session().input)
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _build_text_prompt(question: Question) -> Any:
    import questionary

    ask = questionary.path if question.is_path else questionary.text
    prompt = ask(
        question.text,
        default=str(question.default or ""),
        validate=lambda text: question.find_problem(text) or True,
        style=questionary.Style([("qmark", "fg:ansicyan bold"), ("bottom-toolbar", "noreverse")]),
        bottom_toolbar=_describe_keys(question),
    )
    _bind_keys(prompt.application, question)
    return prompt


def _describe_keys(question: Question) -> str:
    keys = ["tab complete"] if question.is_path else []
    keys += ["enter continue", "? help", *(["esc back"] if question.can_go_back else [])]
    return " · ".join(map(spell, keys))


def _bind_keys(application: Any, question: Question) -> None:
    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: Any) -> None:
        if event.current_buffer.complete_state:
            event.current_buffer.cancel_completion()
        elif question.can_go_back:
            event.app.exit(exception=Back())

    def is_untouched_suggestion() -> bool:
        """A path is continued; any other suggestion is replaced by what a person types."""
        buffer = application.current_buffer
        return (
            not question.is_path and buffer.text == str(question.default) and buffer.cursor_position == len(buffer.text)
        )

    @keys.add("<any>", filter=Condition(is_untouched_suggestion))
    def _(event: Any) -> None:
        event.current_buffer.text = ""
        event.current_buffer.insert_text(event.data)

    def is_menu_open_and_nothing_marked() -> bool:
        state = application.current_buffer.complete_state
        return state is not None and state.current_completion is None

    @keys.add("enter", eager=True, filter=Condition(is_menu_open_and_nothing_marked))
    def _(event: Any) -> None:
        """Accept a complete path at the first Enter, even while completions are shown."""
        event.current_buffer.complete_state = None
        event.key_processor.feed(KeyPress(Keys.Enter), first=True)

    @Condition
    def can_explain() -> bool:
        return bool(question.why) and application.current_buffer.text in ("", str(question.default or ""))

    @keys.add("?", filter=can_explain)
    def _(event: Any) -> None:
        event.app.exit(exception=_Explain())

    application.key_bindings = merge_key_bindings([application.key_bindings, keys])
    application.ttimeoutlen = ESCAPE_SECONDS
