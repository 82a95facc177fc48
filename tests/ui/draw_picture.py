"""README's pictures of the wizard, drawn from the real screens: `python -m tests.ui.draw_picture`."""

import re
import shutil
import tempfile
from pathlib import Path

from tests.data.phantoms import make_plan, write_phantom
from tests.data.real_mammograms import write_download
from tests.ui.terminal import PROJECT, Terminal, as_svg, choose, open_form, read_question
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.worker import execute_run
from tfm.core.runs.workspace import Workspace
from tfm.data.phantom.traps import parse_traps


def copy_program(place: Path) -> None:
    """Start the program from its own folder, as readers do: the shown commands then name no other folder."""
    shutil.copy(PROJECT / "wizard.py", place)
    for folder in ("tfm", "configs"):
        shutil.copytree(PROJECT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))


def is_in_epoch(terminal: Terminal, model: str, epoch: int) -> bool:
    return f"▸ {model}" in terminal.text and bool(re.search(rf"^. epoch \S+ {epoch}/", terminal.text, re.MULTILINE))


def organize(place: Path) -> str:
    """The review of organize with a download that lacks some files."""
    copy_program(place)
    plan = make_plan(*parse_traps("all"), train_women=120, test_women=40, seed=1)
    write_phantom(place / "CBIS-DDSM download", plan)
    with Terminal(rows=34, cwd=place, program=place, HOME=str(place)) as terminal:
        open_form(terminal, "organize")
        terminal.wait_for(read_question("organize", "download"))
        terminal.press("CBIS-DDSM download", "enter")
        terminal.wait_for("» Start")
        return as_svg(terminal.screen)


def demo(place: Path) -> dict[str, str]:
    """The demo from its first screen on: a training, the comparison, home and the models to choose from."""
    copy_program(place)
    pictures = {}
    with Terminal(cwd=place, program=place, HOME=str(place)) as terminal:
        for row in ("» See it work", "» All at once", "» Start"):
            terminal.wait_for(row)
            terminal.press("enter")
        terminal.wait_until(
            lambda: bool(re.search(r"▸ MammoCNN(.|\n)+epoch \S+ [34]/", terminal.text)), "no epoch", 900
        )
        pictures["training"] = as_svg(terminal.screen)
        terminal.wait_for("difference to best", seconds=900)
        pictures["comparison"] = as_svg(terminal.screen)
        terminal.press("escape")
        terminal.wait_for("Ctrl-C quits")
        pictures["home"] = as_svg(terminal.screen)
        choose(terminal, "Train")
        terminal.wait_until(
            lambda: "enter continue" in terminal.text and "  …" not in terminal.text, "no estimates", 600
        )
        pictures["models"] = as_svg(terminal.screen)
    return pictures


def contact_sheet(place: Path) -> Path:
    """Two real mammograms after each step of the default preset."""
    workspace, download = Workspace(place / "workspace"), write_download(place / "download")
    images = ["P_00820_LEFT_MLO", "P_00173_RIGHT_CC"]
    for stage, given in (
        ("organize", {"download": [str(download)], "name": "CBIS-DDSM"}),
        ("contact-sheet", {"images": images}),
    ):
        run = find_or_create_job(workspace, stage, given)
        assert isinstance(run, Run)
        assert execute_run(run, stopping=run) == "done", run.read_status().message
    return run.figures_folder / "steps.png"


PICTURES = PROJECT / ".github"
CONTACT_SHEET = PICTURES / "contact-sheet.png"


if __name__ == "__main__":
    place = Path(tempfile.gettempdir()) / "study"
    for draw in (demo, lambda folder: {"organize": organize(folder)}):
        place.mkdir()
        try:
            for name, picture in draw(place).items():
                (PICTURES / f"{name}.svg").write_text(picture)
        finally:
            shutil.rmtree(place)
    with tempfile.TemporaryDirectory() as somewhere:
        shutil.copy(contact_sheet(Path(somewhere)), CONTACT_SHEET)
