"""A toy trial: it shows on a few films what the baths of `develop` do."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from tests.toys.develop import Baths
from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.events import Event, Picture, Result, Table
from tfm.core.registry import Stage
from tfm.core.runs.run import Run
from tfm.core.settings.base import Settings


def _check_stock(paper: str) -> str:
    if paper == "gold":
        raise ValueError("there is no gold paper")
    return paper


class Proof(Settings):
    paper: Annotated[str, AfterValidator(_check_stock)] = "glossy"
    """Which paper?"""
    films: int = 2
    """How many films?"""
    baths: Baths
    """Which baths?"""


def proof(settings: Proof, run: Run) -> Iterator[Event]:
    if settings.paper == "wet":
        raise DataError("the paper is wet", hint="dry it first")
    rows = [[name, str(held)] for name, held in settings.baths.items()]
    yield Table(f"{settings.films} films on {settings.paper} paper", ["bath", "settings"], rows)
    sheet = run.folder / "sheet.txt"
    files.write_text(sheet, "two films\n")
    yield Picture(str(sheet), "The sheet", ["00ff"] * 4)
    yield Result({"films": settings.films}, outputs=[str(sheet)])


COMMAND = Stage(
    settings=Proof, pipeline="tests.toys.proof:proof", version=1, presets="darkroom", default_preset="plain"
)
