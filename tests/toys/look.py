"""A toy command with an inspection and a preview: it sorts a box of films by their file names."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.registry import InspectionResult, Stage
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import IMPORTANT, POSITIONAL, InputPath, Settings

inspected: list[Path] = []
previewed: list["Films"] = []
closed: list[Path] = []


class CtrlC(Progress):
    """A person presses Ctrl-C while this event is drawn."""

    def __getattribute__(self, name: str) -> Any:
        if name == "total":
            raise KeyboardInterrupt
        return super().__getattribute__(name)


class Films(Settings):
    label: Annotated[str, IMPORTANT] = "films"
    """What should the box be called?"""
    box: Annotated[InputPath, POSITIONAL]
    """Which folder holds the films?"""
    more: tuple[InputPath, ...] = ()
    """Where are more films, if not in the box?"""
    lesions: Annotated[Literal["mass", "calc", "both"], IMPORTANT] = "both"
    """Which lesions?"""
    split: Annotated[Literal["official", "random"], IMPORTANT] = "official"
    """Which split?"""
    at_most: Annotated[int, Field(gt=0)] = 2
    """How many films should it take?"""


def inspect_box(given: Mapping[str, Any], workspace: Workspace) -> Iterator[Event | InspectionResult]:
    """Files have names like mass-train-1.dcm. Without test films, the split can only be random."""
    inspected.append(given["box"])
    folders = [given["box"], *given.get("more", ())]
    names = sorted(path.name for folder in folders for path in folder.glob("*.dcm"))
    if not names and (given["box"] / "elsewhere.txt").exists():
        raise SettingsError("the films of this box are in another folder", hint="name that folder", fields=("more",))
    if not names:
        raise DataError(f"no films in {given['box']}", hint="choose the folder that holds the .dcm files")
    try:
        for number, _ in enumerate(names, 1):
            interrupted = (given["box"] / "ctrl-c.txt").exists()
            yield (CtrlC if interrupted else Progress)("films", number, len(names), "films")
    except GeneratorExit:
        closed.append(given["box"])
        raise
    kinds = Counter(name.split("-")[0] for name in names)
    yield Table("In the box", ["lesions", "films"], [[kind, str(count)] for kind, count in kinds.items()])
    yield Note(f"{len(names)} films")
    missing = {"mass", "calc"} - set(kinds)
    yield InspectionResult(
        fixed={} if any("test" in name for name in names) else {"split": "random"},
        choices={"lesions": list(kinds)} if missing else {},
        reasons={"lesions": f"no {' and no '.join(missing)} in the box"},
    )


def preview(settings: Films, workspace: Workspace) -> Iterator[Event]:
    previewed.append(settings)
    yield Progress("preview", 1, 1)
    count = sum(len(list(folder.glob("*.dcm"))) for folder in (settings.box, *settings.more))
    if settings.at_most > count:
        raise SettingsError(f"there are {count} films only", hint="take fewer", fields=("at_most",))
    if workspace.dataset_folder(settings.label).exists():
        raise DataError(f"a box called {settings.label} exists", hint="give this one another name")
    yield Table(
        "What it will contain",
        ["lesions", "split", "films"],
        [[settings.lesions, settings.split, str(settings.at_most)]],
    )


def films(settings: Films, run: Run) -> Iterator[Event]:
    yield Result({"films": settings.at_most})


COMMAND = Stage(
    settings=Films,
    pipeline="tests.toys.look:films",
    version=1,
    inspect="tests.toys.look:inspect_box",
    preview="tests.toys.look:preview",
)
