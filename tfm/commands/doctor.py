"""Check this machine or a cluster, and say what to mend

With prove, a small training is killed five times and resumed, and must end with the same bits as an undisturbed one.
The pace of training, the cost of deterministic arithmetic and the speed of the disk are measured too. It takes one to
two minutes and writes a certificate, which reports of this workspace include.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Answer
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.settings.base import Settings


class Doctor(Settings):
    on: str = THIS_MACHINE
    """What should be checked: this machine, or a cluster?
    A cluster is checked by a real job, which says what a node has and whether it sees the workspace."""

    prove: bool = False
    """Prove on this machine that a training can be killed and resumed without a change of its result?
    On the first GPU, or on the CPU if there is none."""

    wait: Annotated[int, Field(ge=1)] = 300
    """How many seconds may the job wait in the queue of the cluster?"""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.prove and self.on != THIS_MACHINE:
            raise SettingsError(
                "a proof is made on the machine that trains, not from here",
                hint=f"start {hints.command('doctor', prove=True)} on a node of {self.on}",
                fields=("prove", "on"),
            )
        return self


COMMAND = Answer(settings=Doctor, pipeline="tfm.pipelines.doctor:check")
