"""The whole collection as a tree of small files: the official CSVs and metadata.csv say which, the pixels are made up.

A full mammogram has 24 × 16 pixels here, its masks as many, its crops 6 × 5. Everything else is as TCIA issues it.
"""

import csv
import io
import shutil
import uuid
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

FULL, CROP = (24, 16), (6, 5)
_LONGEST = 64  # characters of a UID


def write_official_tree(csv_folder: Path, out: Path) -> int:
    """Returns the number of DICOM files."""
    root = out / "manifest-1"
    with open(csv_folder / "metadata.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    forms = {name: _Form(name) for name in ("full mammogram images", "ROI mask images", "cropped images")}
    count = 0
    for row in listed:
        folder = root / row["File Location"].removeprefix("./")
        folder.mkdir(parents=True)
        names = [row["Series Description"]]
        if row["Number of Images"] == "2":
            names = ["ROI mask images", "cropped images"][:: 1 if count % 2 else -1]  # in either order
        for number, name in enumerate(names, start=1):
            (folder / f"1-{number}.dcm").write_bytes(forms[name].bytes(row, count))
            count += 1
    root.joinpath("metadata.csv").write_bytes((csv_folder / "metadata.csv").read_bytes())
    for path in csv_folder.glob("*_case_description_*.csv"):
        shutil.copy2(path, out)
    return count


class _Form:
    """One kind of file, encoded once; the names in it are put in place of placeholders as long as they."""

    def __init__(self, description: str) -> None:
        is_mask, is_crop = description == "ROI mask images", description == "cropped images"
        rows, columns = CROP if is_crop else FULL
        if is_mask:
            pixels = np.zeros((rows, columns), np.uint8)
            pixels[2:5, 1:4] = 255
        else:
            pixels = np.linspace(0, 65_535, rows * columns).astype(np.uint16).reshape(rows, columns)
        self.description = description
        self.pixels = pixels

    def bytes(self, row: dict[str, str], number: int) -> bytes:
        return _encoded(row, f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, str(number)).int}", self)


def _encoded(row: dict[str, str], instance: str, form: _Form) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = row["SOP Class UID"]
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    found = FileDataset(buffer, {}, file_meta=meta, preamble=b"\0" * 128)
    subject = row["Subject ID"]
    found.SpecificCharacterSet = "ISO_IR 100"
    found.SOPClassUID, found.SOPInstanceUID = row["SOP Class UID"], instance
    found.StudyDate = found.ContentDate = "20160720"
    found.StudyTime = found.ContentTime = "120000"
    found.AccessionNumber, found.Modality, found.ConversionType = "", "MG", "WSD"
    found.ReferringPhysicianName = ""
    found.SeriesDescription = form.description
    found.SecondaryCaptureDeviceManufacturer = "MathWorks"
    found.SecondaryCaptureDeviceManufacturerModelName = "MATLAB"
    found.PatientName = found.PatientID = subject
    found.PatientBirthDate = found.PatientSex = ""
    found.BodyPartExamined = "BREAST"
    found.StudyInstanceUID, found.SeriesInstanceUID = row["Study UID"], row["Series UID"]
    found.StudyID, found.SeriesNumber, found.InstanceNumber = "DDSM", 1, 1
    found.PatientOrientation = "CC" if "_CC" in subject else "MLO"
    found.Laterality = "L" if "LEFT" in subject else "R"
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.Rows, found.Columns = form.pixels.shape
    bits = form.pixels.itemsize * 8
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = bits, bits, bits - 1, 0
    found.PixelData = form.pixels.tobytes() + b"\0" * (form.pixels.nbytes % 2)
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
