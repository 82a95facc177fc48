"""README's pictures of the wizard, drawn from the real screens: `python -m tests.ui.draw_picture`."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyte

from tests.data.phantoms import phantom_download
from tests.ui.terminal import PROJECT, Terminal, as_svg


def menu(place: Path) -> pyte.Screen:
    with Terminal(columns=92, rows=24, cwd=place, HOME=str(place)) as terminal:
        terminal.wait_for("leave")
        return terminal.screen


def organize(place: Path) -> pyte.Screen:
    """A download that lacks some files, looked at, and what will come of it."""
    phantom_download(place / "CBIS-DDSM download", 120, 40, planted="all", seed=1)
    with Terminal(columns=92, rows=42, cwd=place, HOME=str(place)) as terminal:
        terminal.wait_for("leave")
        terminal.press("down", "down", "down", "enter")
        terminal.wait_for("Which folder holds the download?")
        terminal.press("CBIS-DDSM download", "enter")
        for question in ("dataset be called", "Which lesions", "What one image is", "Which split"):
            terminal.wait_for(question)
            terminal.press("enter")
        terminal.wait_for("Take the defaults again")
        return terminal.screen


PICTURES: dict[Path, Callable[[Path], pyte.Screen]] = {
    PROJECT / ".github" / "wizard.svg": menu,
    PROJECT / ".github" / "organize.svg": organize,
}


if __name__ == "__main__":
    for picture, screen in PICTURES.items():
        place = Path(tempfile.gettempdir()) / "study"
        place.mkdir()
        try:
            picture.write_text(as_svg(screen(place)))
        finally:
            shutil.rmtree(place)
