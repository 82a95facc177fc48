"""A cluster as a file describes it: configs/clusters/example.yaml, or one of the workspace's own clusters."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tfm.core.errors import SettingsError
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.resolve import resolve

EXAMPLE = "example"  # the file that ships, to copy
THIS_MACHINE = "this-machine"  # its name among the clusters


def _parse_minutes(value: Any) -> Any:
    """Minutes, from a number or from hours:minutes:seconds."""
    parts = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", str(value))
    if parts is None:
        return value
    days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return (days * 24 + hours) * 60 + minutes + (seconds > 0)


class Cluster(Settings):
    partition: str | None = None
    """Which partition (queue) should the jobs enter? Without it, Slurm's default."""

    account: str | None = None
    """Which account is charged?"""

    qos: str | None = None
    """Which quality of service should be asked for?"""

    constraint: str | None = None
    """Which features must a node have, such as a100?"""

    time: Annotated[int, Field(ge=1), BeforeValidator(_parse_minutes)] = 1440
    """How long may one job run, in minutes or as "hours:minutes:seconds"?
    A training that needs longer saves a checkpoint before that time, enters the queue again and goes on."""

    gpus: Annotated[int, Field(ge=0)] = 1
    """How many GPUs of a node does a run get that uses one?
    A training on several GPUs gets as many as it asks for."""

    cpus: Annotated[int, Field(ge=1)] = 4
    """How many CPU cores does a run get on each node?"""

    memory: Annotated[float, Field(gt=0)] | None = None
    """How much memory does a run get on each node, in GB? Without it, Slurm's default."""

    setup: tuple[str, ...] = ()
    """Which shell lines run first on a node, such as module load cuda?"""

    python: str | None = None
    """Which Python interpreter runs on the nodes? Without it, the one that submits."""

    signal_seconds: Annotated[int, Field(ge=10)] = 180
    """How many seconds before the end of its time is a job told to save a checkpoint?"""

    @model_validator(mode="after")
    def _check_signal(self) -> Cluster:
        if self.signal_seconds >= self.time * 60:
            raise ValueError(f"signal_seconds ({self.signal_seconds}) must be less than time ({self.time} minutes)")
        return self


def list_clusters(workspace: Workspace) -> list[str]:
    """The clusters that a person has set up."""
    return [name for name in workspace.list_presets("clusters") if name != EXAMPLE]


def load_cluster(workspace: Workspace, name: str) -> Cluster:
    preset = workspace.load_preset("clusters", name)
    try:
        return resolve(Cluster, {}, preset.settings)
    except SettingsError as error:
        raise SettingsError(f"{preset.file}: {error.message}", hint=error.hint) from None
