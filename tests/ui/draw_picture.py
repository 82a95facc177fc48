"""README's picture of the wizard, drawn from the real screen: `python -m tests.ui.draw_picture`."""

import tempfile
from pathlib import Path

from tests.ui.terminal import PROJECT, Terminal, as_svg

PICTURE = PROJECT / ".github" / "wizard.svg"


def draw() -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        Terminal(columns=92, rows=24, cwd=Path(place), HOME=place) as terminal,
    ):
        terminal.wait_for("leave")
        PICTURE.write_text(as_svg(terminal.screen))


if __name__ == "__main__":
    draw()
