"""Patients are compared by one spelling of their names: P_133, p-00133 and P_00133 are one patient."""

from __future__ import annotations

import re

# In a PatientID such as Mass-Training_P_00133_LEFT_CC, or in a path. A word that ends in p is no patient.
_PATIENT_ID = re.compile(r"(?<![a-z])p[\s_.-]*([0-9]+)", re.IGNORECASE)


def find_patient_ids(text: str) -> list[str]:
    """Return the patients that a text names, in the spelling of CBIS-DDSM (P_00133) and in order."""
    return [f"P_{digits.lstrip('0'):0>5}" for digits in _PATIENT_ID.findall(text)]


def normalise_patient_id(text: str) -> str:
    """Return the last patient that a text names; the text itself if it names none, as in another collection."""
    return next(reversed(find_patient_ids(text)), text)


def normalise_subject(text: str) -> str:
    """Spell the patients in TCIA's name of a view or lesion like those of the CSVs."""
    return _PATIENT_ID.sub(lambda found: find_patient_ids(found[0])[0], text)
