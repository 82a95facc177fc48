"""Certificates: what `doctor` proved about stopped and resumed trainings on a machine. Each is a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tfm.core import files
from tfm.core.runs.workspace import Workspace

# What a certificate must share with a run that it is to say something about, with the words for it.
MACHINE_FACTS = {
    "host": "machine",
    "device_name": "device",
    "python": "Python",
    "torch": "PyTorch",
    "git_commit": "version of the program",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Kill(_Record):
    place: str  # what the training was doing
    checkpoint: str  # the state of its newest checkpoint
    continued_from: str


class PartDigest(_Record):
    """SHA-256 of one part of the results, such as the weights."""

    part: str
    undisturbed: str
    killed: str
    differing: str  # what differs, "" if nothing does


class Figures(_Record):
    network: str
    images_per_second: float
    determinism_cost: float  # the time of a deterministic step over that of another one
    determinism_range: tuple[float, float]  # of all pairs
    pairs: int
    sync_milliseconds: float  # the median
    slowest_sync_milliseconds: float


class Certificate(_Record):
    date: str
    machine: dict[str, str]
    training: str  # what was trained, in words
    moments_seed: int
    misses: int  # kills that fell outside of their moment and were repeated
    kills: list[Kill]
    digests: list[PartDigest]
    figures: Figures
    limits: list[str]  # what this does not prove

    @property
    def is_proven(self) -> bool:
        return not any(one.differing or one.undisturbed != one.killed for one in self.digests)

    def list_other_facts(self, run: Mapping[str, Any]) -> list[str]:
        """Name what differs between this machine and that of a run, whose recorded facts are given."""
        return [words for name, words in MACHINE_FACTS.items() if str(run.get(name)) != self.machine.get(name)]


def write_certificate(workspace: Workspace, certificate: Certificate) -> Path:
    """Write it in place of an older one of the same machine and device."""
    name = re.sub(r"[^\w.-]+", "-", f"{certificate.machine['host']}-{certificate.machine['device_name']}")
    path = workspace.certificates_folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    files.remove_leftovers(path.parent)
    files.write_text(path, certificate.model_dump_json(indent=2) + "\n")
    return path


def read_certificates(workspace: Workspace) -> list[Certificate]:
    """The certificates of all machines, the newest first. A damaged file counts as none."""
    found = []
    for path in list_certificate_files(workspace):
        try:
            found.append(Certificate.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda one: one.date, reverse=True)


def list_certificate_files(workspace: Workspace) -> list[Path]:
    return sorted(workspace.certificates_folder.glob("*.json"))
