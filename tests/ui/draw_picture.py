"""README's pictures of the wizard, drawn from the real screens: `python -m tests.ui.draw_picture`."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyte

from tests.data.phantoms import phantom_download
from tests.ui.terminal import PROJECT, Terminal, as_svg, open_form, read_question
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.worker import execute_run
from tfm.core.runs.workspace import Workspace


def copy_program(place: Path) -> None:
    """Start the program from its own folder, as readers do: the shown commands then name no other folder."""
    shutil.copy(PROJECT / "wizard.py", place)
    for folder in ("tfm", "configs"):
        shutil.copytree(PROJECT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))


def menu(place: Path) -> pyte.Screen:
    with Terminal(columns=92, rows=24, cwd=place, HOME=str(place)) as terminal:
        terminal.wait_for("leave")
        return terminal.screen


def organize(place: Path) -> pyte.Screen:
    """The form of organize with a download that lacks some files, before the start."""
    copy_program(place)
    phantom_download(place / "CBIS-DDSM download", 120, 40, planted="all", seed=1)
    with Terminal(columns=92, rows=42, cwd=place, program=place, HOME=str(place)) as terminal:
        open_form(terminal, "organize")
        terminal.wait_for(read_question("organize", "download"))
        terminal.press("CBIS-DDSM download", "enter")
        for setting in ("name", "lesions", "images", "split"):
            terminal.wait_for(read_question("organize", setting))
            terminal.press("enter")
        terminal.wait_for("Reset to the defaults")
        return terminal.screen


def comparison(place: Path) -> pyte.Screen:
    """The comparison at the end of the demo."""
    copy_program(place)
    subprocess.run([sys.executable, "wizard.py", "demo", "--quiet"], cwd=place, check=True)
    with Terminal("compare", columns=92, rows=48, cwd=place, program=place, HOME=str(place)) as terminal:
        assert terminal.wait_for_end() == 0
        lines = terminal.screen.display
        # without the paths of files on this machine
        terminal.screen.lines = next(row for row, line in enumerate(lines) if line.startswith("Comparison: AUC:"))
        return terminal.screen


def contact_sheet(place: Path) -> Path:
    """Two phantoms after each step of the default preset."""
    phantom_download(place / "download", 8, 4, height=768, seed=1)
    workspace = Workspace(place / "workspace")
    for stage, given in (
        ("organize", {"download": [str(place / "download")], "name": "phantoms"}),
        ("contact-sheet", {"count": 2}),
    ):
        run = find_or_create_job(workspace, stage, given)
        assert isinstance(run, Run)
        assert execute_run(run, stopping=run) == "done", run.read_status().message
    return run.figures_folder / "steps.png"


CONTACT_SHEET = PROJECT / ".github" / "contact-sheet.png"
PICTURES: dict[Path, Callable[[Path], pyte.Screen]] = {
    PROJECT / ".github" / "wizard.svg": menu,
    PROJECT / ".github" / "organize.svg": organize,
    PROJECT / ".github" / "comparison.svg": comparison,
}


if __name__ == "__main__":
    for picture, screen in PICTURES.items():
        place = Path(tempfile.gettempdir()) / "study"
        place.mkdir()
        try:
            picture.write_text(as_svg(screen(place)))
        finally:
            shutil.rmtree(place)
    with tempfile.TemporaryDirectory() as somewhere:
        shutil.copy(contact_sheet(Path(somewhere)), CONTACT_SHEET)
