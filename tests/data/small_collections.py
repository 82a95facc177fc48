"""Small downloads of other collections than CBIS-DDSM: their own tables, file names and formats, with drawn images.

Every second patient has a malignant finding in the left breast.
"""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pydicom
import xlwt
from pydicom.uid import generate_uid

from tests.imaging.dicom_files import build_dataset
from tfm.data.phantom.download_plan import Exposure, Lesion
from tfm.data.phantom.mammogram import draw_mammogram

VIEWS = ("CC", "MLO")
SIDES = {"L": "LEFT", "R": "RIGHT"}


@functools.cache
def draw(patient: int, side: str = "L", view: str = "CC", malignant: bool = False, height: int = 160) -> np.ndarray:
    """(H, W) uint16 of the phantom's film."""
    lesions = (Lesion(1, "mass", malignant),)
    return draw_mammogram(Exposure(1, f"other {patient}", SIDES[side], view, 2, height, 0.0, lesions)).image


def is_malignant(patient: int) -> bool:
    return patient % 2 == 1


def write_dicom(path: Path, pixels: np.ndarray, **values: object) -> None:
    made = build_dataset(pixels >> 4, PatientName="", **values)
    made.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_cmmd(out: Path, patients: int = 10) -> Path:
    """As NBIA and IDC write it, in two views of both breasts; only the left one was biopsied."""
    out.mkdir(parents=True)
    book = openpyxl.Workbook()
    book.active.append(["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"])
    for number in range(1, patients + 1):
        name = f"D1-{number:04}"
        label = "Malignant" if is_malignant(number) else "Benign"
        book.active.append([name, "L", 40 + number, 2, "mass" if number % 3 else "both", label, None])
        series = out / "CMMD" / name / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
        for place, (side, view) in enumerate(((side, view) for side in "LR" for view in VIEWS), 1):
            code = pydicom.Dataset()
            code.CodeValue, code.CodingSchemeDesignator = {"CC": "R-10242", "MLO": "R-10226"}[view], "SNM3"
            pixels = draw(number, side, view, is_malignant(number) and side == "L")
            write_dicom(
                series / f"1-{place}.dcm", pixels, PatientID=name, Modality="MG", ImageLaterality=side,
                ViewCodeSequence=pydicom.Sequence([code]),
            )  # fmt: skip
    book.save(out / "CMMD_clinicaldata_revision.xlsx")
    return out


def write_inbreast(out: Path, patients: int = 10) -> Path:
    """The last patient has BI-RADS 3, the one before BI-RADS 4a."""
    (out / "AllDICOMs").mkdir(parents=True)
    book = xlwt.Workbook()
    sheet = book.add_sheet("INBreast")
    columns = ["Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads"]
    rows: list[list[object]] = [[*columns, "Mass ", "Micros"]]
    for number in range(1, patients + 1):
        birads = {patients: "3", patients - 1: "4a"}.get(number, "5" if is_malignant(number) else "2")
        for view, spelled in (("CC", "CC"), ("MLO", "ML")):
            file = 20586000 + 10 * number + VIEWS.index(view)
            rows.append(["removed", "removed", "L", view, 201001, file, 2, birads, "X", ""])
            path = out / "AllDICOMs" / f"{file}_{number:016x}_MG_L_{spelled}_ANON.dcm"
            write_dicom(path, draw(number, "L", view, is_malignant(number)), Modality="MG")
    rows.append(["", "", "", "", "", "mean", 2.1, "", "", ""])
    for place, row in enumerate(rows):
        for column, value in enumerate(row):
            sheet.write(place, column, value)
    book.save(str(out / "INbreast.xls"))
    return out


def write_vindr(out: Path, patients: int = 10) -> Path:
    """The last patients are the published test set; the third has BI-RADS 3."""
    out.mkdir(parents=True)
    columns = ["study_id", "series_id", "image_id", "laterality", "view_position", "height", "width"]
    rows: list[list[object]] = [[*columns, "breast_birads", "breast_density", "split"]]
    for number in range(1, patients + 1):
        study, birads = f"{number:032x}", 3 if number == 3 else 5 if is_malignant(number) else 1
        for view in VIEWS:
            pixels = draw(number, "L", view, is_malignant(number))
            image = f"{number:030x}0{VIEWS.index(view)}"
            split = "test" if number > patients - 3 else "training"
            rows.append([study, "s", image, "L", view, *pixels.shape, f"BI-RADS {birads}", "DENSITY C", split])
            write_dicom(out / "images" / study / f"{image}.dicom", pixels, Modality="MG")
    write_csv(out / "breast-level_annotations.csv", rows)
    return out


def write_mias(out: Path, patients: int = 10) -> Path:
    """A circle in the odd images of odd patients; the second patient has several lines, the fourth a note."""
    out.mkdir(parents=True)
    lines = ["REFNUM BG CLASS SEVERITY X Y RADIUS"]
    for number in range(1, 2 * patients + 1):
        patient = (number + 1) // 2
        film = cv2.resize(draw(patient, "R" if number % 2 else "L", "MLO") >> 8, (256, 256)).astype(np.uint8)
        cv2.imwrite(str(out / f"mdb{number:03}.pgm"), np.repeat(np.repeat(film, 4, axis=0), 4, axis=1))
        if number % 2 == 0:
            lines.append(f"mdb{number:03} D NORM ")
        elif is_malignant(patient):
            lines.append(f"mdb{number:03} G CIRC M 400 700 50 ")
        elif patient == 2:
            lines += [f"mdb{number:03} F CALC B 500 425 30", f"mdb{number:03} F SPIC M 300 200 20"]
        else:
            lines.append(f"mdb{number:03} F CALC B *NOTE 3*")
    (out / "Info.txt").write_text("\n".join(lines) + "\n")
    return out


def write_own(out: Path, patients: int = 10) -> Path:
    """A CSV and PNG files of 8 bits."""
    (out / "images").mkdir(parents=True)
    rows: list[list[object]] = [["filename", "Patient ID", "Label", "Laterality", "view"]]
    for number in range(1, patients + 1):
        for view in VIEWS:
            file = f"images/p{number}_{view.lower()}.png"
            pixels = draw(number, "L", view, is_malignant(number)) >> 8
            cv2.imwrite(str(out / file), pixels.astype(np.uint8))
            rows.append([file, f"P{number}", "cancer" if is_malignant(number) else 0, "left", view])
    write_csv(out / "labels.csv", rows)
    return out


COLLECTIONS = {
    "cmmd": write_cmmd, "inbreast": write_inbreast, "vindr-mammo": write_vindr, "mias": write_mias, "own": write_own,
}  # fmt: skip
