"""Patients are compared by one spelling of their names: P_133, p-00133 and P_00133 are one patient.

Those of other collections than CBIS-DDSM have the collection before their own name, as in cmmd:D1-0001. So own:P1 is
never taken for P_00001.
"""

from __future__ import annotations

import re

# In a PatientID such as Mass-Training_P_00133_LEFT_CC, or in a path. A word that ends in p is no patient.
_PATIENT_ID = re.compile(r"(?<![a-z])p[\s_.-]*([0-9]+)", re.IGNORECASE)
_COLLECTION = re.compile(r"[a-z][a-z-]+:(?=.)")  # at the start of the name of a patient or an image
EXTRA = "extra"  # in place of a collection, for patients of extra folders


def name_in_collection(collection: str, name: str) -> str:
    """Name a patient or an image of another collection than CBIS-DDSM."""
    return f"{collection}:{name}"


def remove_collection(name: str) -> str:
    return _COLLECTION.sub("", name, count=1)


def find_patient_ids(text: str) -> list[str]:
    """Return the patients that a text names, in the spelling of CBIS-DDSM (P_00133) and in order."""
    if _COLLECTION.match(text):
        return []
    return [f"P_{digits.lstrip('0'):0>5}" for digits in _PATIENT_ID.findall(text)]


def normalise_patient_id(text: str) -> str:
    """Return the last patient that a text names; the text itself if it names none, as in another collection."""
    return next(reversed(find_patient_ids(text)), text)


def list_names_in_files(patient_id: str) -> list[str]:
    """Return the names that a patient has in files: of cmmd:D1-0001 also D1-0001, as in the header.

    Files name no collection. An image that may be of a known patient must count as of that patient.
    """
    return sorted({normalise_patient_id(name) for name in (patient_id, remove_collection(patient_id))})


def normalise_subject(text: str) -> str:
    """Spell the patients in TCIA's name of a view or lesion like those of the CSVs."""
    return _PATIENT_ID.sub(lambda found: find_patient_ids(found[0])[0], text)
