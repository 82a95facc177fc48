"""The text of the case CSVs and of metadata.csv, in the official columns and order. Written to disk in `download`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from pydicom.uid import SecondaryCaptureImageStorage

from tfm.core.randomness import generator_at
from tfm.data.headers import PHANTOM_MAKER
from tfm.data.phantom.dicom import STUDY_DATE
from tfm.data.phantom.series import NBIA_DATE, Series, crop_and_mask_names, full_series, lesion_series
from tfm.data.phantom.spec import CsvForm, DownloadPlan, Finding, Kind, Mammogram

_ABNORMALITY = {"mass": "mass", "calc": "calcification"}
_SHAPE_COLUMNS = {"mass": ("mass shape", "mass margins"), "calc": ("calc type", "calc distribution")}
_SHAPES: dict[tuple[Kind, bool], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("mass", False): (("ROUND", "OVAL"), ("CIRCUMSCRIBED",)),
    ("mass", True): (("IRREGULAR", "IRREGULAR-ARCHITECTURAL_DISTORTION"), ("SPICULATED",)),
    ("calc", False): (("COARSE", "ROUND_AND_REGULAR-LUCENT_CENTER"), ("CLUSTERED", "REGIONAL")),
    ("calc", True): (("PLEOMORPHIC", "FINE_LINEAR_BRANCHING"), ("CLUSTERED", "SEGMENTAL")),
}
_ASSESSMENTS = {"MALIGNANT": (4, 4, 5), "BENIGN": (3, 4, 4), "BENIGN_WITHOUT_CALLBACK": (2,)}


def _text(header: Iterable[str], rows: Iterable[Mapping[str, object]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(header), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def case_csvs(plan: DownloadPlan) -> dict[str, str]:
    """File name → text; a file that would have no rows is left out."""
    rows: dict[str, list[dict[str, object]]] = {}
    for m in plan.mammograms:
        name = f"{m.kind}_case_description_{m.split}_set.csv"
        rows.setdefault(name, []).extend(_case_row(m, finding, plan.csv) for finding in m.findings)
    return {name: _text(found[0], found) for name, found in sorted(rows.items())}


def _case_row(m: Mammogram, finding: Finding, form: CsvForm) -> dict[str, object]:
    exposure = m.exposure
    lesion = exposure.lesions[finding.lesion]
    # One lesion is described alike in both views.
    rng = generator_at(exposure.seed, "phantom words", exposure.patient, exposure.side, lesion.number)
    shapes, surrounds = _SHAPES[lesion.kind, lesion.malignant]
    density = "breast density" if form.density_with_space and m.kind == "calc" else "breast_density"
    shape, surround = _SHAPE_COLUMNS[m.kind]
    subtlety = round(5 - 3 * exposure.difficulty - rng.uniform(0, 1))
    full, crop, mask = _paths(m, finding, form)
    return {
        "patient_id": exposure.patient,
        density: exposure.density,
        "left or right breast": exposure.side,
        "image view": exposure.view,
        "abnormality id": finding.abnormality,
        "abnormality type": _ABNORMALITY[m.kind],
        shape: shapes[rng.integers(len(shapes))],
        surround: surrounds[rng.integers(len(surrounds))],
        "assessment": rng.choice(_ASSESSMENTS[finding.pathology]),
        "pathology": finding.pathology,
        "subtlety": subtlety,
        "image file path": full,
        "cropped image file path": crop,
        "ROI mask file path": mask,
    }


def _paths(m: Mammogram, finding: Finding, form: CsvForm) -> tuple[str, str, str]:
    full_name, (crop_name, mask_name) = "1-1.dcm", crop_and_mask_names(finding)
    if form.names_of_old:
        full_name = "000000.dcm"
        crop_name, mask_name = ("000000.dcm", "000001.dcm") if m.kind == "mass" else ("000001.dcm", "000000.dcm")
    lesion = lesion_series(m, finding)
    full = _path(full_series(m), full_name)
    crop, mask = _path(lesion, crop_name), _path(lesion, mask_name)
    if not form.linefeed_in_paths:
        return full, crop, mask
    return (full, crop, mask + "\n") if m.kind == "mass" else (full, crop + "\n", mask)


def _path(series: Series, name: str) -> str:
    return f"{series.subject}/{series.study}/{series.uid}/{name}"


def metadata_csv(sizes: Iterable[tuple[Series, int]]) -> str:
    """One row a series, with its size in bytes, as NBIA Data Retriever lists them."""
    rows = [_metadata_row(series, size) for series, size in sizes]
    return _text(rows[0], rows)


def _metadata_row(series: Series, size: int) -> dict[str, object]:
    return {
        "Series UID": series.uid,
        "Collection": "CBIS-DDSM",
        "3rd Party Analysis": "null",
        "Data Description URI": "synthetic",
        "Subject ID": series.subject,
        "Study UID": series.study,
        "Study Description": "NA",
        "Study Date": NBIA_DATE,
        "Series Description": series.description,
        "Manufacturer": PHANTOM_MAKER,
        "Modality": "MG",
        "SOP Class Name": SecondaryCaptureImageStorage.name,
        "SOP Class UID": str(SecondaryCaptureImageStorage),
        "Number of Images": len(series.names),
        "File Size": f"{size / 1e6:.2f} MB",
        "File Location": f"./{series.folder}",
        "Download Timestamp": f"{STUDY_DATE[:4]}-{STUDY_DATE[4:6]}-{STUDY_DATE[6:]}T12:00:00.000000000",
    }
