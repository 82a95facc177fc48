"""Show a long text from its start, one page after the other: a window that scrolls shows its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from tfm.ui.prompts import Asker, Back, Question, ToMenu, wait_for_enter

_LINES_BELOW = 2  # the question, and one that stays free


def show_pages(print_text: Callable[[Console], None], asker: Asker, console: Console) -> None:
    """Esc and Ctrl-C leave before the last page."""
    console.clear()
    if asker.is_plain or not console.is_terminal:
        print_text(console)
        wait_for_enter(asker)
        return
    with console.capture() as captured:
        print_text(console)
    lines = Text.from_ansi(captured.get()).split("\n")
    pages = list(_split_pages(list(lines), console.width, max(1, console.height - _LINES_BELOW)))
    with contextlib.suppress(Back, ToMenu):
        for number, page in enumerate(pages, 1):
            console.clear()
            console.print(Text("\n").join(page), soft_wrap=True)
            if number == len(pages):
                wait_for_enter(asker)
            else:
                text = f"Press Enter for the next page ({number} of {len(pages)})"
                asker.ask(Question("continue", text, default=""))


def _split_pages(lines: list[Text], width: int, room: int) -> Iterator[list[Text]]:
    page: list[Text] = []
    used = 0
    for line in lines:
        height = max(1, -(-line.cell_len // width))
        if page and used + height > room:
            yield page
            page, used = [], 0
        page.append(line)
        used += height
    yield page
