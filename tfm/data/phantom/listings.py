"""Build the rows of NBIA's metadata.csv and of Kaggle's dicom_info.csv, and format CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

from pydicom.dataset import FileDataset
from pydicom.uid import SecondaryCaptureImageStorage

from tfm.data.download.headers import PHANTOM_MAKER
from tfm.data.phantom.dicom import STUDY_DATE
from tfm.data.phantom.series import Instance, Series

NBIA_DATE = f"{STUDY_DATE[4:6]}-{STUDY_DATE[6:]}-{STUDY_DATE[:4]}"

Row = dict[str, object]

_KAGGLE_FACTS = (
    *("AccessionNumber", "BitsAllocated", "BitsStored", "BodyPartExamined", "Columns", "ContentDate", "ContentTime"),
    *("ConversionType", "HighBit", "InstanceNumber", "LargestImagePixelValue", "Laterality", "Modality"),
    *("PatientBirthDate", "PatientID", "PatientName", "PatientOrientation", "PatientSex"),
    *("PhotometricInterpretation", "PixelRepresentation", "ReferringPhysicianName", "Rows", "SOPClassUID"),
    *("SOPInstanceUID", "SamplesPerPixel", "SecondaryCaptureDeviceManufacturer"),
    *("SecondaryCaptureDeviceManufacturerModelName", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber"),
    *("SmallestImagePixelValue", "SpecificCharacterSet", "StudyDate", "StudyID", "StudyInstanceUID", "StudyTime"),
)


def format_csv(rows: Sequence[Row], line_end: str = "\r\n") -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def build_metadata_row(series: Series, folder: PurePosixPath, size: int) -> Row:
    """Build the row of a series in metadata.csv. `size` is in bytes."""
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
        "Number of Images": len(series.instances),
        "File Size": f"{size / 1e6:.2f} MB",
        "File Location": f"./{folder}",
        "Download Timestamp": f"{STUDY_DATE[:4]}-{STUDY_DATE[4:6]}-{STUDY_DATE[6:]}T12:00:00.000000000",
    }


def build_dicom_info_row(series: Series, instance: Instance, jpeg: PurePosixPath, dataset: FileDataset) -> Row:
    """Build the row of a JPEG in dicom_info.csv, with the header of the DICOM file that it was made from."""
    dicom = PurePosixPath("CBIS-DDSM", "dicom", series.uid, f"1-{instance.number}.dcm")
    facts = {fact: str(dataset.get(fact, "")) for fact in _KAGGLE_FACTS}
    return {"file_path": str(dicom), "image_path": str(PurePosixPath("CBIS-DDSM", jpeg)), **facts}
