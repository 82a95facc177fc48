"""Questions, and what a person can answer to them. Nothing here draws.

`key_asker` asks with keys in a terminal, `plain_asker` with numbered lines. Esc goes one question back and Ctrl-C to
the menu; neither is an answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console, RenderableType

from tfm.ui.spell_references import spell


class Leaving(Exception):
    """A person leaves a question without an answer. `marked` are the choices that were marked until then."""

    def __init__(self, marked: Sequence[Any] = ()) -> None:
        super().__init__()
        self.marked = marked


class Back(Leaving):
    """Go one question back."""


class ToMenu(Leaving):
    """Leave the form; the answers are kept."""


@dataclass(frozen=True)
class Choice:
    """A row: a title with a line about it, or the cells of a table.

    `card` is shown while the cursor is on it, and `why` when a person asks for help there.
    """

    value: Any
    title: str
    about: str = ""
    disabled: str | None = None  # the reason
    section: str = ""
    cells: Sequence[str] = ()
    card: str = ""
    why: str = ""


@dataclass(frozen=True)
class Pressed:
    """The answer of a person who pressed one of the question's `actions` instead of Enter."""

    key: str
    value: Any  # of the row under the cursor
    marked: Sequence[Any] = ()


@dataclass(frozen=True)
class Question:
    """A question with its choices, or for a text.

    Attributes:
        why: The explanation behind `?`, which is offered only if there is one.
        aside: Shown at the right end of the question's line.
        head: Shown above the question, on a screen of its own.
        columns: The headings of the choices' cells. A narrow window drops the last ones.
        several: Any number of choices can be marked. Only an `optional` question can be answered with none.
        marks: Key → label and the values that the key marks.
        actions: Key → label; the answer is then `Pressed`.
        refresh: Returns the question as it is now; called about once a second. It must be quick.
    """

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
    aside: str = ""
    head: RenderableType | None = None
    columns: Sequence[str] = ()
    marks: Mapping[str, tuple[str, Sequence[Any]]] = field(default_factory=dict)
    actions: Mapping[str, str] = field(default_factory=dict)
    refresh: Callable[[], Question] | None = None

    def parse(self, text: str) -> Any:
        value = text if text.strip() or self.default is None else self.default
        return self.check(value) if self.check else value

    def find_problem(self, text: str) -> str | None:
        try:
            self.parse(text)
        except ValueError as error:
            return spell(str(error))
        return None

    def find_choice_problem(self, marked: Sequence[Any]) -> str | None:
        if self.several and not marked and not self.optional:
            return "Mark at least one."
        return None


class Asker(Protocol):
    """`is_plain`: nothing moves and no keys are read one by one."""

    is_plain: bool

    def ask(self, question: Question) -> Any: ...


def wait_for_enter(asker: Asker) -> None:
    """Esc and Ctrl-C count as Enter."""
    with contextlib.suppress(Back, ToMenu):
        asker.ask(Question("continue", "Press Enter to go back", default=""))


def create_asker(accessible: bool, console: Console) -> Asker:
    from tfm.ui.key_asker import KeyAsker
    from tfm.ui.plain_asker import PlainAsker

    return PlainAsker(console) if accessible else KeyAsker(console)
