"""A toy stage whose baths are on or off, each with what may be set of it; a proof shows a few films first."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tfm.core.events import Event, Result
from tfm.core.registry import Stage
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import IMPORTANT, Settings, Switches


class Developer(Settings):
    """The picture brought out."""

    seconds: Annotated[int, Field(gt=0)] = 60
    """How long the film lies in it"""


class Stop(Settings):
    """Development ended at once."""


class Fixer(Settings):
    """The picture made to last."""

    strength: Literal["weak", "strong"] = "weak"
    """How strong it is mixed"""


class Toner(Settings):
    """Black turned to brown."""

    shade: float | None = 0.5
    """How brown, or none for as brown as it gets"""


BATHS: dict[str, type[Settings]] = {"toner": Toner, "developer": Developer, "stop": Stop, "fixer": Fixer}


def _checked(baths: dict[str, dict[str, Any] | bool]) -> dict[str, dict[str, Any] | bool]:
    on = {name: {} if given is True else given for name, given in baths.items() if given is not False}
    if not on:
        raise ValueError("a film needs a bath")
    return {name: resolve(BATHS[name], {}, given).model_dump() for name, given in on.items()}


Baths = Annotated[dict[str, dict[str, Any] | bool], Switches(BATHS), AfterValidator(_checked)]


class Develop(Settings):
    paper: Annotated[str, IMPORTANT] = "glossy"
    """On which paper"""
    copies: Annotated[int, IMPORTANT] = 1
    """How many copies"""
    baths: Baths
    """Through which baths
    In their order."""


def develop(settings: Develop, run: Run) -> Iterator[Event]:
    yield Result({"baths": list(settings.baths), "copies": settings.copies})


COMMAND = Stage(
    settings=Develop,
    pipeline="tests.toys.develop:develop",
    version=1,
    presets="darkroom",
    default_preset="plain",
    trial="proof",
)
