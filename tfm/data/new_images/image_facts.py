"""What the header and the name of one image file say: patient, side, view, and how the image was made.
Pixels are not read. Nothing is guessed: what neither header nor name says stays empty."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from tfm.data.cbis_name import find_cbis_names
from tfm.data.patient_id import normalise_patient_id
from tfm.imaging.dicom import is_dicom
from tfm.imaging.dicom_header import open_dicom, read_dicom_header

HEADER, NAME = "header", "name"

_TAGS = (
    *("PatientID", "Laterality", "ImageLaterality", "ViewPosition", "ViewCodeSequence", "PatientOrientation"),
    *("Modality", "BodyPartExamined", "Manufacturer", "PresentationIntentType", "SOPInstanceUID"),
)
_HEAD = 132  # bytes that identify DICOM
_SIDES = {"L": "LEFT", "LEFT": "LEFT", "R": "RIGHT", "RIGHT": "RIGHT"}
_VIEW_CODES = {"R-10242": "CC", "399162004": "CC", "R-10226": "MLO", "399368009": "MLO"}  # SNOMED, old and new
_NO_PATIENT = {"", "0", "ANON", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "NONE", "UNKNOWN"}


@dataclass(frozen=True)
class ImageFacts:
    patient: str = ""
    side: str = ""  # LEFT or RIGHT
    view: str = ""  # CC, MLO or another view position
    source: str = ""  # HEADER, NAME or both: what the three are from
    conflict: str = ""  # what the file's name says where the header says something else
    modality: str = ""
    body_part: str = ""
    maker: str = ""
    intent: str = ""  # FOR PRESENTATION or FOR PROCESSING
    sop_uid: str = ""
    is_dicom: bool = False
    lesion: str = ""  # number of the lesion that a crop or a mask of CBIS-DDSM shows


def read_image_facts(path: Path, name: str) -> ImageFacts:
    """Read the facts about one file. `name` is its path as far as it may name a patient."""
    header = _read_header(path)
    texts = {tag: _read_text(header, tag) for tag in _TAGS} if header is not None else dict.fromkeys(_TAGS, "")
    in_header = find_cbis_names(texts["PatientID"])
    in_name = find_cbis_names(name)
    said = _read_view(header, texts)
    named = in_name[-1][:3] if in_name else ("", "", "")
    patient, side, view = (own or other for own, other in zip(said, named, strict=True))
    used = [HEADER] * any(said) + [NAME] * any(not own and other for own, other in zip(said, named, strict=True))
    conflicts = [other for own, other in zip(said, named, strict=True) if own and other and own != other]
    lesion = in_header[-1].lesion if in_header else in_name[-1].lesion if in_name else ""
    return ImageFacts(
        patient=patient,
        side=side,
        view=view,
        source=" and ".join(used),
        conflict=" ".join(conflicts),
        modality=texts["Modality"].upper(),
        body_part=texts["BodyPartExamined"].upper(),
        maker=texts["Manufacturer"],
        intent=texts["PresentationIntentType"].upper(),
        sop_uid=texts["SOPInstanceUID"],
        is_dicom=header is not None,
        lesion=lesion,
    )


def _read_header(path: Path) -> pydicom.Dataset | None:
    """Return None for a file that is no DICOM, or whose header cannot be read: decoding it reports the damage."""
    with contextlib.suppress(Exception), open(path, "rb") as file:  # pydicom raises many types
        if is_dicom(file.read(_HEAD)):
            file.seek(0)
            return read_dicom_header(open_dicom(file), _TAGS)
    return None


def _read_text(header: pydicom.Dataset, tag: str) -> str:
    with contextlib.suppress(Exception):
        return str(header.get(tag) or "").strip("\0 ")
    return ""


def _read_view(header: pydicom.Dataset | None, texts: dict[str, str]) -> tuple[str, str, str]:
    """Return patient, side and view from the header, "" where it does not say."""
    if header is None:
        return "", "", ""
    patient = texts["PatientID"]
    names = find_cbis_names(patient)
    if names:
        return names[-1][:3]
    patient = "" if patient.upper() in _NO_PATIENT else normalise_patient_id(patient)
    side = _SIDES.get(texts["ImageLaterality"].upper()) or _SIDES.get(texts["Laterality"].upper(), "")
    view = texts["ViewPosition"].upper() or _read_view_code(header)
    if not view and texts["PatientOrientation"].upper() in ("CC", "MLO"):  # TCIA wrote the view there
        view = texts["PatientOrientation"].upper()
    return patient, side, view


def _read_view_code(header: pydicom.Dataset) -> str:
    with contextlib.suppress(Exception):
        code: Any = header.ViewCodeSequence[0].CodeValue
        return _VIEW_CODES.get(str(code), "")
    return ""
