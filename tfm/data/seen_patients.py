"""The patients that a run has learned from. Those of a hospital are kept as hashes with a salt that never leaves the
workspace: runs of one workspace can be compared, and a file that gets into other hands names nobody."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.patient_id import EXTRA, name_in_collection, normalise_patient_id

PRIVATE = ("own", EXTRA)  # the names in the public collections are public
_HIDDEN = re.compile(r"#[0-9a-f]{16}")


class SeenPatients(frozenset[str]):
    """Names as a run keeps them, some of them hidden. A run of an older version has hidden none."""

    salt: str

    def __new__(cls, names: Iterable[str], salt: str = "") -> SeenPatients:
        made = super().__new__(cls, map(normalise_patient_id, names))
        made.salt = salt
        return made

    @classmethod
    def read(cls, run: Run) -> SeenPatients:
        return cls(run.read_environment()["patients_seen"], run.workspace.read_salt())

    def has_any(self, names: Iterable[str]) -> bool:
        return any(name in self or _hide_name(name, self.salt) in self for name in names)

    def has_name_in_file(self, patient: str) -> bool:
        """Whether a patient was seen whom a file names so, without a collection."""
        return self.has_any(name_in_collection(collection, patient) for collection in PRIVATE)


def hide_names(names: Iterable[str], workspace: Workspace) -> list[str]:
    """Hide the private names, to keep them in a run."""
    names = set(names)
    is_needed = any(_is_private(name) for name in names)
    salt = workspace.create_salt() if is_needed else ""
    return sorted(_hide_name(name, salt) for name in names)


def _is_private(name: str) -> bool:
    collection, colon, own = name.partition(":")
    return bool(colon) and collection in PRIVATE and not _HIDDEN.fullmatch(own)


def _hide_name(name: str, salt: str) -> str:
    if not salt or not _is_private(name):
        return name
    collection, _, own = name.partition(":")
    digest = hmac.new(salt.encode(), own.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
    return name_in_collection(collection, f"#{digest[:16]}")
