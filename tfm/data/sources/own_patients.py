"""The patient of an image of one's own, by a pattern of file names or by the DICOM header. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.data.sources.own_labels import SIDES_OR_NONE

HEADER = "header"
_PLACES = {
    "patient": r"(?P<patient>.+?)",
    "side": r"(?P<side>left|right|l|r)",
    "view": r"(?P<view>[a-z]+)",
    "any": ".*?",
}
_HOLE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class NamedPatient:
    patient: str = ""
    side: str = ""
    view: str = ""


def compile_template(template: str) -> Callable[[str], NamedPatient | None]:
    """Return a function that reads the path of a file as the template says; it returns None if they don't match.

    A template such as {patient}_{side}_{view} describes the name without its ending, or with / the end of the path.
    """
    holes = _HOLE.findall(template)
    unknown = sorted(set(holes) - set(_PLACES))
    if unknown or holes.count("patient") != 1 or any(holes.count(name) > 1 for name in ("side", "view")):
        raise SettingsError(
            f"{template} is no pattern of file names" + (f": {{{unknown[0]}}} is unknown" if unknown else ""),
            hint="use {patient} once, and where they are in the name {side}, {view} and {any}, as in "
            "{patient}_{side}_{view}",
            fields=("patient_from",),
        )
    parts = _HOLE.split(template)  # text and names of holes in turn
    pattern = "".join(_PLACES[part] if place % 2 else re.escape(part) for place, part in enumerate(parts))
    compiled = re.compile(pattern, re.IGNORECASE)
    depth = template.count("/") + 1

    def read(path: str) -> NamedPatient | None:
        names = PurePosixPath(path).with_suffix("").parts[-depth:]
        found = compiled.fullmatch("/".join(names))
        if not found or "/" in found["patient"]:
            return None
        said = found.groupdict()
        return NamedPatient(
            found["patient"], SIDES_OR_NONE[(said.get("side") or "").upper()], (said.get("view") or "").upper()
        )

    return read


def refuse_unnamed_patients(count: int, total: int, example: str, why: str) -> None:
    """Refuse images whose patients are unknown: one patient in two splits would make every figure too good."""
    if count:
        raise SettingsError(
            f"{why} for {count} of {total} images, for example {example}",
            hint="say who the patients are in one of three ways: a CSV with the columns file, patient_id and label; a "
            f"pattern of the file names, such as {hints.setting('patient_from', '{patient}_{side}_{view}')}; or the "
            f"DICOM headers: {hints.setting('patient_from', HEADER)}",
            fields=("patient_from",),
        )
