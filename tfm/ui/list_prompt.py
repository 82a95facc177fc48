"""A list of choices in a terminal: lines or a table, marks, a card, keys, a filter, and content that refreshes itself.

questionary's lists can do none of these, so this one is built on prompt_toolkit, as questionary is.
"""

from __future__ import annotations

import asyncio
import io
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import ConditionalContainer, HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.styles import Style
from rich.console import Console
from rich.text import Text

from tfm.ui import render
from tfm.ui.list_rows import draw_rows, format_headings, list_cards, wrap_card
from tfm.ui.list_state import ListState
from tfm.ui.prompts import Back, Pressed, Question, ToMenu
from tfm.ui.spell_references import spell
from tfm.ui.text_console import TextConsole

ESCAPE_SECONDS = 0.1  # shorter: an arrow key over a slow line reads as Esc; the default (0.5) feels slow
_STYLE = Style(
    [
        ("question", "bold"),
        ("pointer", "fg:ansicyan bold"),
        ("disabled", "fg:ansibrightblack"),
        ("section", "bold"),
        ("columns", "fg:ansicyan"),
        ("keys", "fg:ansibrightblack"),
        ("problem", "fg:ansiyellow"),
        ("help", "fg:ansicyan"),
    ]
)
_REFRESH_SECONDS = 1.0
_STILL_SECONDS = 2.0  # after a key: no row moves away while a person counts
_FEWEST_ROWS = 4
_CARD_LINES, _PAGE = 6, 10


class ListPrompt:
    def __init__(self, question: Question, console: Console) -> None:
        self.state = ListState(question)
        self.console = console
        self.last_key = -_STILL_SECONDS

    def run(self) -> Any:
        application: Application[Any] = Application(
            layout=Layout(self._build_layout()),
            key_bindings=self._build_keys(),
            style=_STYLE,
            full_screen=self._question.head is not None,
            erase_when_done=True,
        )
        application.ttimeoutlen = ESCAPE_SECONDS
        application.key_processor.after_key_press += lambda _: setattr(self, "last_key", time.monotonic())

        def start_refresh() -> None:
            if self._question.refresh:
                application.create_background_task(self._keep_fresh(self._question.refresh, application))

        return application.run(pre_run=start_refresh)

    @property
    def _question(self) -> Question:
        return self.state.question

    async def _keep_fresh(self, read: Callable[[], Question], application: Application[Any]) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            fresh = await asyncio.get_running_loop().run_in_executor(None, read)
            if time.monotonic() - self.last_key > _STILL_SECONDS:
                self.state.update(replace(fresh, refresh=read))
                application.invalidate()

    # Keys

    def _build_keys(self) -> KeyBindings:
        keys, state = KeyBindings(), self.state
        is_filtering = Condition(lambda: state.filter is not None)

        def bind(key: str, act: Callable[[Any], None], *, is_letter: bool = False) -> None:
            keys.add(key, eager=True, filter=~is_filtering if is_letter else True)(act)

        bind("up", lambda event: state.move(-1, around=True))
        bind("down", lambda event: state.move(1, around=True))
        bind("pageup", lambda event: state.move(-_PAGE))
        bind("pagedown", lambda event: state.move(_PAGE))
        bind("home", lambda event: state.move(-len(state.rows)))
        bind("end", lambda event: state.move(len(state.rows)))
        bind("escape", self._leave)
        bind("enter", self._accept)
        bind("c-c", lambda event: event.app.exit(exception=ToMenu(tuple(state.marked))))
        bind("/", lambda event: state.set_filter(""), is_letter=True)
        if self._has_help:
            bind("?", self._toggle_help, is_letter=True)
        if self._question.several:
            bind("space", lambda event: state.toggle())
            for key, (_, values) in self._marks.items():
                bind(key, lambda event, values=values: state.mark(values), is_letter=True)  # type: ignore[misc]
        for key in self._question.actions:
            bind(key, lambda event, key=key: self._press(event, key), is_letter=True)  # type: ignore[misc]
        keys.add("<any>", filter=is_filtering)(lambda event: state.set_filter(f"{state.filter}{event.data}"))
        keys.add("backspace", filter=is_filtering)(lambda event: state.set_filter((state.filter or "")[:-1]))
        return keys

    @property
    def _marks(self) -> dict[str, tuple[str, Any]]:
        everything = [choice.value for choice in self._question.choices]
        return {**self._question.marks, "a": (spell("all"), everything)} if self._question.several else {}

    @property
    def _has_help(self) -> bool:
        return bool(self._question.why) or any(choice.why for choice in self._question.choices)

    def _toggle_help(self, event: Any) -> None:
        self.state.shows_help = not self.state.shows_help

    def _leave(self, event: Any) -> None:
        """Esc closes the help first, then the filter, then the question."""
        if self.state.shows_help:
            self.state.shows_help = False
        elif self.state.filter is not None:
            self.state.set_filter(None)
        elif self._question.can_go_back:
            event.app.exit(exception=Back(tuple(self.state.marked)))

    def _accept(self, event: Any) -> None:
        answer = self.state.read_answer()
        if not self.state.problem:
            event.app.exit(result=answer)

    def _press(self, event: Any, key: str) -> None:
        row = self.state.current
        event.app.exit(result=Pressed(key, row.value if row else None, tuple(self.state.marked)))

    # The screen

    def _build_layout(self) -> HSplit:
        def lines(draw: Callable[[], StyleAndTextTuples], height: int | None = None) -> Window:
            return Window(FormattedTextControl(draw), height=height, dont_extend_height=True)

        rows = Window(
            FormattedTextControl(self._draw_rows, focusable=True, show_cursor=False),
            height=Dimension(min=min(_FEWEST_ROWS, len(self._question.choices))),
            dont_extend_height=True,
        )
        columns = ConditionalContainer(lines(self._draw_columns, 1), Condition(lambda: bool(self._question.columns)))
        card = ConditionalContainer(lines(self._draw_card), Condition(lambda: bool(self._draw_card())))
        parts = [lines(self._draw_question), columns, rows, card, lines(self._draw_keys)]
        if self._question.head is None:
            return HSplit(parts)
        head = ConditionalContainer(lines(self._draw_head), Condition(lambda: bool(self._draw_head())))
        return HSplit([head, *parts, Window()])

    def _draw_head(self) -> StyleAndTextTuples:
        if not self._question.head:
            return []
        colors: Any = self.console.color_system
        drawn = TextConsole(file=io.StringIO(), force_terminal=True, width=_read_width(), color_system=colors)
        with drawn.capture() as captured:
            drawn.print(self._question.head)
        return to_formatted_text(ANSI(captured.get().rstrip("\n")))

    def _draw_question(self) -> StyleAndTextTuples:
        question, wanted = self._question, self.state.filter
        text = question.text if wanted is None else f"{question.text}  /{wanted}"
        gap = _read_width() - len(text) - len(question.aside) - 1
        aside = (" " * gap if gap > 1 else "\n") + question.aside if question.aside else ""
        return [("class:question", textwrap.fill(text, _read_width() - 1)), ("class:keys", aside)]

    def _draw_columns(self) -> StyleAndTextTuples:
        return [("class:columns", format_headings(self._question, _read_width()))]

    def _draw_rows(self) -> StyleAndTextTuples:
        return draw_rows(self.state, _read_width())

    def _draw_card(self) -> StyleAndTextTuples:
        """The help, or why Enter does nothing, or the text of the row under the cursor."""
        row, width, room = self.state.current, _read_width(), get_app().output.get_size().rows
        if self.state.shows_help:
            text = (row.why if row else "") or self._question.why
            return [("class:help", wrap_card(text, width, max(_CARD_LINES, room // 2)))]
        texts = list_cards(self._question, width)
        cards = [wrap_card(text, width, _CARD_LINES) for text in texts if text]
        lines = max((card.count("\n") for card in cards), default=0)  # the same for each row: nothing jumps
        if self.state.problem:
            return [("class:problem", wrap_card(spell(self.state.problem), width, _CARD_LINES, lines))]
        own = next((text for text, choice in zip(texts, self._question.choices, strict=True) if choice is row), "")
        return [("", wrap_card(own, width, _CARD_LINES, lines))] if cards else []

    def _draw_keys(self) -> StyleAndTextTuples:
        question = self._question
        if self.state.filter is not None:
            labels = ["type to filter", "enter continue", "esc show all"]
        else:
            marks = ["space mark", *(f"{key} {label}" for key, (label, _) in self._marks.items())]
            labels = [
                *(marks if question.several else []),
                *(f"{key} {label}" for key, label in question.actions.items()),
            ]
            labels += ["enter continue" if question.several else "enter choose"]
            labels += ["? help"] if self._has_help else []
            labels += ["esc back"] if question.can_go_back else []
            labels += ["/ filter"] if len(question.choices) > _PAGE else []
        parts = [Text(label) for label in map(spell, labels)]
        lines = render.join_whole(parts, " · ", _read_width() - 2).plain
        return [("class:keys", textwrap.indent(lines, " "))]


def _read_width() -> int:
    return get_app().output.get_size().columns
