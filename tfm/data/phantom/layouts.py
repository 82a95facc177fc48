"""The layouts in which CBIS-DDSM exists: path and encoding of each file, and additional tables.
Files are written in writer."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.uid import SecondaryCaptureImageStorage

from tfm.core.randomness import seed_at
from tfm.data.download.headers import PHANTOM_MAKER
from tfm.data.phantom.dicom import STUDY_DATE, encode
from tfm.data.phantom.download_plan import LayoutName
from tfm.data.phantom.series import Drawing, Instance, Series

_YEAR, _MONTH, _DAY = STUDY_DATE[:4], STUDY_DATE[4:6], STUDY_DATE[6:]
_NBIA_DATE = f"{_MONTH}-{_DAY}-{_YEAR}"
_KAGGLE_FACTS = (
    *("AccessionNumber", "BitsAllocated", "BitsStored", "BodyPartExamined", "Columns", "ContentDate", "ContentTime"),
    *("ConversionType", "HighBit", "InstanceNumber", "LargestImagePixelValue", "Laterality", "Modality"),
    *("PatientBirthDate", "PatientID", "PatientName", "PatientOrientation", "PatientSex"),
    *("PhotometricInterpretation", "PixelRepresentation", "ReferringPhysicianName", "Rows", "SOPClassUID"),
    *("SOPInstanceUID", "SamplesPerPixel", "SecondaryCaptureDeviceManufacturer"),
    *("SecondaryCaptureDeviceManufacturerModelName", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber"),
    *("SmallestImagePixelValue", "SpecificCharacterSet", "StudyDate", "StudyID", "StudyInstanceUID", "StudyTime"),
)

Row = dict[str, object]


@dataclass(frozen=True)
class Listing:
    """A table that lists the files of a copy of the download."""

    path: str  # inside the folder of the copy
    line_end: str
    rows: Callable[[Layout, Series, Drawing, Path], list[Row]]  # of a series; the path is the folder of the copy


@dataclass(frozen=True)
class Layout:
    folder: Callable[[Series], PurePosixPath]  # inside the folder of the copy
    name: Callable[[Instance], str]
    name_in_case_csv: Callable[[Instance], str]
    encode: Callable[[FileDataset], bytes]
    listing: Listing | None
    root: str  # folder of the download inside the output folder
    second_root: str  # folder of the series that were downloaded again
    case_csvs: str = ""  # their folder inside the output folder

    def locate(self, series: Series, instance: Instance) -> PurePosixPath:
        return self.folder(series) / self.name(instance)


def _name_by_2019_number(instance: Instance) -> str:
    return f"{instance.number - 1:06d}.dcm"


def _name_by_uid(instance: Instance) -> str:
    return f"{instance.uid}.dcm"


def _name_jpeg(instance: Instance) -> str:
    """Name a JPEG as Kaggle does; the second number cannot be predicted from the CSVs."""
    return f"{instance.number}-{1 + seed_at('phantom jpeg', instance.uid) % 999:03d}.jpg"


def _place_by_description(study_infix: str, series_prefix: str) -> Callable[[Series], PurePosixPath]:
    def place(series: Series) -> PurePosixPath:
        study = f"{_NBIA_DATE}-DDSM-{study_infix}{series.study[-5:]}"
        return PurePosixPath(
            "CBIS-DDSM", series.subject, study, f"{series_prefix}-{series.description}-{series.uid[-5:]}"
        )

    return place


def _build_metadata_rows(layout: Layout, series: Series, drawing: Drawing, root: Path) -> list[Row]:
    """Build the row of a series in NBIA's metadata.csv. It has the sizes of undamaged files."""

    def measure(instance: Instance) -> int:
        if series.absent or instance.damage:
            return len(layout.encode(drawing.get_dataset(instance)))
        return (root / layout.locate(series, instance)).stat().st_size

    row: Row = {
        "Series UID": series.uid,
        "Collection": "CBIS-DDSM",
        "3rd Party Analysis": "null",
        "Data Description URI": "synthetic",
        "Subject ID": series.subject,
        "Study UID": series.study,
        "Study Description": "NA",
        "Study Date": _NBIA_DATE,
        "Series Description": series.description,
        "Manufacturer": PHANTOM_MAKER,
        "Modality": "MG",
        "SOP Class Name": SecondaryCaptureImageStorage.name,
        "SOP Class UID": str(SecondaryCaptureImageStorage),
        "Number of Images": len(series.instances),
        "File Size": f"{sum(map(measure, series.instances)) / 1e6:.2f} MB",
        "File Location": f"./{layout.folder(series)}",
        "Download Timestamp": f"{_YEAR}-{_MONTH}-{_DAY}T12:00:00.000000000",
    }
    return [row]


def _build_dicom_info_rows(layout: Layout, series: Series, drawing: Drawing, _: Path) -> list[Row]:
    """Build the rows of Kaggle's dicom_info.csv: for each JPEG, the header of the DICOM file it was made from."""
    rows: list[Row] = []
    for one in series.instances:
        dicom = PurePosixPath("CBIS-DDSM", "dicom", series.uid, f"1-{one.number}.dcm")
        jpeg = PurePosixPath("CBIS-DDSM", layout.locate(series, one))
        facts = {fact: str(drawing.get_dataset(one).get(fact, "")) for fact in _KAGGLE_FACTS}
        rows.append({"file_path": str(dicom), "image_path": str(jpeg), **facts})
    return rows


def _encode_jpeg(dataset: FileDataset) -> bytes:
    """Encode with a comment that marks the file as synthetic even without the table."""
    pixels = dataset.pixel_array
    grey = pixels if pixels.dtype == np.uint8 else np.round(pixels / 257).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=95, comment=PHANTOM_MAKER)
    return buffer.getvalue()


def _make_nbia_layout(
    folder: Callable[[Series], PurePosixPath],
    name: Callable[[Instance], str] = lambda instance: f"1-{instance.number}.dcm",
) -> Layout:
    """Make a layout of NBIA Data Retriever."""
    metadata = Listing("metadata.csv", "\r\n", _build_metadata_rows)
    return Layout(folder, name, name, encode, metadata, "manifest-phantom", "manifest-phantom-2")


LAYOUTS: dict[LayoutName, Layout] = {
    "nbia": _make_nbia_layout(_place_by_description("NA-", "1.000000")),
    "nbia-2020": _make_nbia_layout(_place_by_description("", "1.000000")),
    "nbia-2019": _make_nbia_layout(_place_by_description("", "1"), _name_by_2019_number),
    "classic": _make_nbia_layout(lambda series: PurePosixPath("CBIS-DDSM", series.subject, series.study, series.uid)),
    "mirror": Layout(
        folder=lambda series: PurePosixPath("dicom", series.study, series.uid),
        name=_name_by_uid,
        name_in_case_csv=_name_by_uid,
        encode=encode,
        listing=None,
        root="",
        second_root="again",
    ),
    "kaggle": Layout(
        folder=lambda series: PurePosixPath("jpeg", series.uid),
        name=_name_jpeg,
        name_in_case_csv=_name_by_2019_number,
        encode=_encode_jpeg,
        listing=Listing("csv/dicom_info.csv", "\n", _build_dicom_info_rows),
        root="",
        second_root="again",
        case_csvs="csv",
    ),
}


def format_csv(rows: Sequence[Row], line_end: str = "\r\n") -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
