"""A reader for a collection that is not CBIS-DDSM: clinic.csv, one row a lesion, and the image files that it names.

An example to copy to tfm/data/sources/. The command that uses it is tests/toys/organize_clinic.py.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.lesions_to_images import Lesion
from tfm.data.download.match_files import Catalog
from tfm.data.sources.cbis_ddsm import LESION_KEY, SERIES, read_text_table
from tfm.imaging.read_image import read_pixels

_PATHOLOGIES = {"benign": "BENIGN", "cancer": "MALIGNANT"}
_SCALES = ("density", "assessment", "subtlety")  # empty: this collection has none
_DESCRIPTIONS = ("shape", "margins", "calc_type", "distribution")


def read_catalog(folder: Path) -> Catalog:
    """Read clinic.csv (patient, breast, view, finding, diagnosis, set, image, mask) and measure its files."""
    table = read_text_table(folder / "clinic.csv").fillna("")
    if table.empty:
        raise DataError(f"{folder / 'clinic.csv'} lists no lesion", hint="export it again")
    lesions = pd.DataFrame([_read_lesion(folder, number, row) for number, row in enumerate(table.to_dict("records"))])
    lesions = lesions.astype(dict.fromkeys(_SCALES, "Int64")).sort_values(LESION_KEY, ignore_index=True)
    files = set(lesions["image_file"]) | set(lesions["mask_file"]) - {""}
    return Catalog(
        lesions, notices=[], synthetic=False, missing=[], headers={"files": len(files)}, series=0, listing=None
    )


def _read_lesion(folder: Path, number: int, row: Lesion) -> Lesion:
    return {
        "kind": row["finding"],  # mass or calc
        "split": row["set"],  # train or test, as published; a random split ignores it
        "patient_id": f"P_{int(row['patient']):05}",  # P_ and digits: the dataset's files are recognized by it
        "side": row["breast"],  # LEFT or RIGHT
        "view": row["view"],  # CC or MLO
        "lesion_id": number + 1,  # unique in its image
        "pathology": _PATHOLOGIES[row["diagnosis"]],
        **dict.fromkeys(_SCALES, pd.NA),
        **dict.fromkeys(_DESCRIPTIONS, ""),
        **dict.fromkeys(SERIES, ""),
        **_measure_file("image", folder, row["image"]),
        **_measure_file("mask", folder, row["mask"]),
        **_measure_file("crop", folder, ""),
    }


def _measure_file(role: str, folder: Path, name: str) -> Lesion:
    """The columns of one file. A file that does not exist counts as missing; one that cannot be read stops the run."""
    facts: Lesion = {"file": "", "sop": "", "bytes": 0, "rows": 0, "columns": 0, "bits": 0}
    path = folder / name
    if name and path.is_file():
        pixels = read_pixels(path)
        rows, columns = pixels.shape
        facts = {"file": str(path), "sop": name, "bytes": path.stat().st_size}  # sop: any name unique to the file
        facts |= {"rows": rows, "columns": columns, "bits": pixels.dtype.itemsize * 8}
    return {f"{role}_{fact}": value for fact, value in facts.items()}
