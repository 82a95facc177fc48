"""The whole collection as a tree of small files: the official CSVs and metadata.csv say which, the pixels are made up.

A full mammogram has 24 × 16 pixels here, its masks as many, its crops 6 × 5. Everything else is as TCIA issues it.
"""

import csv
import functools
import io
import shutil
import uuid
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

FULL, CROP = (24, 16), (6, 5)


def write_official_tree(csv_folder: Path, out: Path) -> int:
    """Returns the number of DICOM files."""
    root = out / "manifest-1"
    with open(csv_folder / "metadata.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    count = 0
    for row in listed:
        folder = root / row["File Location"].removeprefix("./")
        folder.mkdir(parents=True)
        names = [row["Series Description"]]
        if row["Number of Images"] == "2":
            names = ["ROI mask images", "cropped images"][:: 1 if count % 2 else -1]  # in either order
        for number, name in enumerate(names, start=1):
            (folder / f"1-{number}.dcm").write_bytes(_write_file(row, name, count))
            count += 1
    root.joinpath("metadata.csv").write_bytes((csv_folder / "metadata.csv").read_bytes())
    for path in csv_folder.glob("*_case_description_*.csv"):
        shutil.copy2(path, out)
    return count


def _draw_pixels(description: str) -> np.ndarray:
    pixels = np.linspace(0, 65_535, FULL[0] * FULL[1]).astype(np.uint16).reshape(FULL)
    if description == "cropped images":
        return np.linspace(0, 65_535, CROP[0] * CROP[1]).astype(np.uint16).reshape(CROP)
    if description == "ROI mask images":
        pixels = np.zeros(FULL, np.uint8)
        pixels[2:5, 1:4] = 255
    return pixels


def _write_file(row: dict[str, str], description: str, number: int) -> bytes:
    """Write the names of a file over placeholders of their lengths. Encoding each file takes six times as long."""
    instance = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, str(number)).int}"
    names = (row["Subject ID"], row["Study UID"], row["Series UID"], instance)
    placeholders = [str(digit) * len(name) for digit, name in enumerate(names, start=1)]
    view, side = ("CC" if "_CC" in names[0] else "MLO"), ("L" if "LEFT" in names[0] else "R")
    content = _encode(description, row["SOP Class UID"], view, side, *placeholders)
    for placeholder, name in zip(placeholders, names, strict=True):
        content = content.replace(placeholder.encode(), name.encode())
    return content


@functools.cache
def _encode(
    description: str, kind: str, view: str, side: str, subject: str, study: str, series: str, instance: str
) -> bytes:
    pixels = _draw_pixels(description)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    found = FileDataset(buffer, {}, file_meta=meta, preamble=b"\0" * 128)
    found.SpecificCharacterSet = "ISO_IR 100"
    found.SOPClassUID, found.SOPInstanceUID = kind, instance
    found.StudyDate = found.ContentDate = "20160720"
    found.StudyTime = found.ContentTime = "120000"
    found.AccessionNumber, found.Modality, found.ConversionType = "", "MG", "WSD"
    found.ReferringPhysicianName = ""
    found.SeriesDescription = description
    found.SecondaryCaptureDeviceManufacturer = "MathWorks"
    found.SecondaryCaptureDeviceManufacturerModelName = "MATLAB"
    found.PatientName = found.PatientID = subject
    found.PatientBirthDate = found.PatientSex = ""
    found.BodyPartExamined = "BREAST"
    found.StudyInstanceUID, found.SeriesInstanceUID = study, series
    found.StudyID, found.SeriesNumber, found.InstanceNumber = "DDSM", 1, 1
    found.PatientOrientation = view
    found.Laterality = side
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.Rows, found.Columns = pixels.shape
    bits = pixels.itemsize * 8
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = bits, bits, bits - 1, 0
    found.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
