"""The mark of the runs whose split is wrong on purpose. Nothing but the leak lab may use them."""

from __future__ import annotations

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.runs.run import Run

LEAK_LAB = "leak_lab"  # the fact in environment.json


def refuse_leak_lab(run: Run) -> None:
    if LEAK_LAB in run.read_environment():
        raise DataError(
            f"{run.id} is a run of the leak lab ({run.read_environment()[LEAK_LAB]}): its figures and weights can be "
            "used nowhere else",
            hint=f"choose another run: see {hints.command('runs list')}",
        )
