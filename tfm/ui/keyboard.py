"""Single keys, read while something moves on the screen. Prompts read their own keys."""

from __future__ import annotations

import contextlib
import sys
import termios
import time
from collections.abc import Iterator, Sequence

_POLL_SECONDS = 0.03


@contextlib.contextmanager
def hide_typed_keys() -> Iterator[None]:
    """Print no key that is typed between two screens. Prompts show what is typed in them."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    hidden = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


class Keyboard:
    """Read keys without Enter and without echo between `with` and its end. Ctrl-C raises KeyboardInterrupt."""

    def __enter__(self) -> Keyboard:
        from prompt_toolkit.input import create_input

        self._held = contextlib.ExitStack()
        self._input = None
        if sys.stdin.isatty():
            self._input = create_input(sys.stdin)
            self._held.enter_context(self._input.raw_mode())
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self.wait(0)  # a key pressed at the end must not answer the next question
        self._held.close()

    def wait(self, seconds: float) -> Sequence[str]:
        """Return the keys as soon as some are pressed, none after this time."""
        end = time.monotonic() + seconds
        while True:
            keys = [press.key for press in self._input.read_keys()] if self._input else []
            if "c-c" in keys:
                raise KeyboardInterrupt
            if keys or time.monotonic() >= end:
                return keys
            time.sleep(_POLL_SECONDS)
