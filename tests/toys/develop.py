"""A toy command with parts that are on or off, each with its own settings. Its trial is `proof`."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tfm.core.events import Event, Result
from tfm.core.registry import Stage
from tfm.core.runs.run import Run
from tfm.core.settings.base import IMPORTANT, Settings, Switches
from tfm.core.settings.resolve import resolve


class Developer(Settings):
    """Makes the picture visible."""

    seconds: Annotated[int, Field(gt=0)] = 60
    """How many seconds?"""


class Stop(Settings):
    """Stops the development."""


class Fixer(Settings):
    """Makes the picture permanent."""

    strength: Literal["weak", "strong"] = "weak"
    """How strong should it be?"""


class Toner(Settings):
    """Turns black into brown."""

    shade: float | None = 0.5
    """How brown should it become? None means as brown as possible."""


BATHS: dict[str, type[Settings]] = {"toner": Toner, "developer": Developer, "stop": Stop, "fixer": Fixer}


def _resolve_baths(baths: dict[str, dict[str, Any] | bool]) -> dict[str, dict[str, Any] | bool]:
    on = {name: {} if given is True else given for name, given in baths.items() if given is not False}
    if not on:
        raise ValueError("a film needs a bath")
    return {name: resolve(BATHS[name], {}, given).model_dump() for name, given in on.items()}


Baths = Annotated[dict[str, dict[str, Any] | bool], Switches(BATHS), AfterValidator(_resolve_baths)]


class Develop(Settings):
    paper: Annotated[str, IMPORTANT] = "glossy"
    """Which paper?"""
    copies: Annotated[int, IMPORTANT] = 1
    """How many copies?"""
    baths: Baths
    """Which baths?
    The order matters."""


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
