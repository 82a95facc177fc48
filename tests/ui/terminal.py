"""A real terminal for tests: a program on a pseudo-terminal, its screen read with pyte, keys pressed by name."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import pyte

from tfm.core import registry
from tfm.core.settings.fields import list_fields

PROJECT = Path(__file__).resolve().parents[2]
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "tab": "\t",
    "ctrl-c": "\x03",
    "space": " ",
    "end": "\x1b[F",
}
_FRAME_SECONDS = 0.02
PATIENCE = 60.0  # seconds; a busy machine is slow


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite in the background of a shell ignores it, and so would we


class Terminal:
    def __init__(
        self,
        *words: str,
        columns: int = 80,
        rows: int = 24,
        cwd: Path = PROJECT,
        program: Path = PROJECT,
        **environment: str,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.pressed = 0  # keys so far
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, str(program / "wizard.py"), *words],
            stdin=slave, stdout=slave, stderr=slave, cwd=cwd, start_new_session=True,
            preexec_fn=_take_terminal,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)} | environment,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, *keys: str) -> None:
        """Names of KEYS, or text typed as it is."""
        for key in keys:
            self.pressed += 1 if key in KEYS else len(key)
            os.write(self._master, KEYS.get(key, key).encode())

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        fcntl.ioctl(
            self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0)
        )  # the kernel says SIGWINCH

    def list_cut_lines(self) -> list[str]:
        """Lines that reach the last column without ending a box, and lines that were shortened."""
        full = [line for line in self.screen.display if line[-1] not in " │╮╯╭╰─┐┘"]
        shortened = [line.rstrip() for line in self.screen.display if re.search(r"\S…\s*$", line)]
        return full + shortened

    def wait_for(self, words: str, seconds: float = PATIENCE) -> str:
        """Read until the screen shows the words; fail with what it shows instead."""
        return self.wait_for_any(words, seconds=seconds)

    def wait_for_any(self, *words: str, seconds: float = PATIENCE) -> str:
        def is_shown() -> bool:
            return any(one in self.text for one in words)

        return self.wait_until(is_shown, f"the screen never showed {' or '.join(map(repr, words))}", seconds)

    def wait_until_changed(self, before: str) -> None:
        self.wait_until(lambda: self.text != before, "the screen did not change")

    def wait_until_gone(self, words: str) -> None:
        self.wait_until(lambda: words not in self.text, f"the screen still shows {words!r}")

    def wait_for_end(self) -> int:
        self.wait_until(lambda: self.process.poll() is not None, "the program did not end")
        return self.process.wait()

    def wait_until(self, reached: Callable[[], bool], complaint: str, seconds: float = PATIENCE) -> str:
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise AssertionError(f"{complaint}; it shows:\n{self.text}")
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if ready:
                self._read()
        while select.select([self._master], [], [], _FRAME_SECONDS)[0] and self.process.poll() is None:
            self._read()  # a screen may arrive in several pieces
        return self.text

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # Linux says EIO once the program has ended
            self._feed(os.read(self._master, 65536))

    def _feed(self, block: bytes) -> None:
        self._stream.feed(block)
        self.received += block
        if b"\x1b[6n" in block:  # the program asks where the cursor is, as prompts do
            os.write(self._master, f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R".encode())


def read_question(command: str, setting: str) -> str:
    """The beginning of a question, which fits into one line of every terminal."""
    fields = list_fields(registry.find_command(command).settings)
    return next(field.question for field in fields if field.name == setting)[:40]


def wait_for_question(terminal: Terminal) -> None:
    """Wait until a list or a text is asked for, and not home any more."""

    def is_asked() -> bool:
        return "Ctrl-C" not in terminal.text and bool(re.search(r"^( +» |\? )", terminal.text, re.MULTILINE))

    terminal.wait_until(is_asked, "no question was asked")


def open_form(terminal: Terminal, name: str) -> None:
    """Open the form of a command from the list of all commands, in any language."""
    terminal.wait_for("Ctrl-C")
    home = terminal.wait_until(lambda: " · ? " in terminal.text, "the keys of home are not shown")
    is_first_start = re.search(r"^ m ", home, re.MULTILINE)
    terminal.press(*(["m"] if is_first_start else ["end", "up", "enter"]))
    wait_for_question(terminal)
    terminal.press("/", name)
    terminal.wait_for(f"/{name}")
    choose(terminal, name)
    terminal.wait_until_gone(f"/{name}")


def choose(terminal: Terminal, title: str) -> None:
    """Move to a row of a list with the arrow keys, and press Enter."""
    terminal.wait_for(title)
    for _ in range(40):
        if re.search(rf"» +([○◉] )?{title}(?![\w-])", terminal.text):
            break
        before = terminal.text
        terminal.press("down")
        terminal.wait_until_changed(before)
    terminal.press("enter")


_COLOURS = {
    "default": "#d8dee9", "black": "#4c566a", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d8dee9", "brightblack": "#7b8494",
    "brightcyan": "#7fd4df",
}  # fmt: skip


def as_svg(screen: pyte.Screen) -> str:
    """Draw the screen with its colours."""
    width, height = screen.columns * 8.4 + 24, screen.lines * 18 + 24
    rows = []
    for y in range(screen.lines):
        spans = []
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            if cell.data.strip():
                weight = ' font-weight="bold"' if cell.bold else ""
                colour = _COLOURS.get(cell.fg, f"#{cell.fg}")
                spans.append((x, colour, weight, cell.data))
        rows += [_run(y, run) for run in _runs(spans)]
    body = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1e222a"/>\n{body}\n</svg>\n'
    )


def _runs(spans):  # type: ignore[no-untyped-def]
    """Neighbouring cells of one look as one piece of text."""
    run: list[tuple[int, str, str, str]] = []
    for span in spans:
        if run and (span[0] != run[-1][0] + 1 or span[1:3] != run[-1][1:3]):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _run(y: int, run: list[tuple[int, str, str, str]]) -> str:
    x, colour, weight, _ = run[0]
    text = escape("".join(span[3] for span in run))
    length = len(run) * 8.4
    return (
        f'<text x="{12 + x * 8.4:.1f}" y="{28 + y * 18}" fill="{colour}"{weight} xml:space="preserve" '
        f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{text}</text>'
    )
