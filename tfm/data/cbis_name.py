"""CBIS-DDSM's names of views, such as Mass-Training_P_00133_LEFT_CC, in a path or a PatientID."""

from __future__ import annotations

import re
from typing import NamedTuple

from tfm.data.patient_id import normalise_patient_id

_NAME = re.compile(
    r"(?<![a-z])(p[\s_.-]*[0-9]+)[\s_.-]*(left|right)[\s_.-]*(cc|mlo)(?:[\s_-]+(?:mass_|calc_)?([0-9]+))?",
    re.IGNORECASE,
)


class CbisName(NamedTuple):
    patient: str
    side: str  # LEFT or RIGHT
    view: str  # CC or MLO
    lesion: str  # number of the lesion, in the name of a crop or a mask; "" in that of a whole mammogram


def find_cbis_names(text: str) -> list[CbisName]:
    """Return all such names in a text, in order."""
    return [
        CbisName(normalise_patient_id(patient), side.upper(), view.upper(), lesion)
        for patient, side, view, lesion in _NAME.findall(text)
    ]
