"""Check this machine or a cluster, and say what to mend"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Answer
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.settings.base import Settings


class Doctor(Settings):
    on: str = THIS_MACHINE
    """What should be checked: this machine, or a cluster?
    A cluster is checked by a real job, which says what a node has and whether it sees the workspace."""

    wait: Annotated[int, Field(ge=1)] = 300
    """How many seconds may the job wait in the queue of the cluster?"""


COMMAND = Answer(settings=Doctor, pipeline="tfm.pipelines.doctor:check")
