"""The forms in which CBIS-DDSM is found on disks: where a file lies, how it is encoded, which tables stand beside it.
A form is an entry of LAYOUTS; files are written in `download`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset

from tfm.core.randomness import seed_at
from tfm.data.download.headers import PHANTOM_MAKER
from tfm.data.phantom.dicom import encode
from tfm.data.phantom.listings import NBIA_DATE, Row, build_dicom_info_row, build_metadata_row
from tfm.data.phantom.series import Drawing, Instance, Series
from tfm.data.phantom.spec import LayoutName

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Listing:
    """A table of what a copy of the download holds."""

    path: str  # below the copy's folder
    line_end: str
    # The rows of a series, from what was drawn and from the copy's folder.
    rows: Callable[[Layout, Series, Drawing, Path], list[Row]]


@dataclass(frozen=True)
class Layout:
    folder: Callable[[Series], PurePosixPath]  # below the copy's folder
    name: Callable[[Instance], str]
    name_in_case_csv: Callable[[Instance], str]
    encode: Callable[[FileDataset], bytes]
    listing: Listing | None
    root: str  # the folder of the download below OUT
    second_root: str  # that of the series downloaded a second time
    case_csvs: str = ""  # their folder below OUT

    def path(self, series: Series, instance: Instance) -> PurePosixPath:
        return self.folder(series) / self.name(instance)


def _name_by_number(instance: Instance) -> str:
    return f"1-{instance.number}.dcm"


def _name_by_2019_number(instance: Instance) -> str:
    return f"{instance.number - 1:06d}.dcm"


def _name_by_uid(instance: Instance) -> str:
    return f"{instance.uid}.dcm"


def _name_jpeg(instance: Instance) -> str:
    """The second number is nothing that could be known beforehand."""
    return f"{instance.number}-{1 + seed_at('phantom jpeg', instance.uid) % 999:03d}.jpg"


def _of_subject(series: Series, study: str, folder: str) -> PurePosixPath:
    return PurePosixPath("CBIS-DDSM", series.subject, study, folder)


def _folder_2021(series: Series) -> PurePosixPath:
    study, name = f"{NBIA_DATE}-DDSM-NA-{series.study[-5:]}", f"1.000000-{series.description}-{series.uid[-5:]}"
    return _of_subject(series, study, name)


def _folder_2020(series: Series) -> PurePosixPath:
    study, name = f"{NBIA_DATE}-DDSM-{series.study[-5:]}", f"1.000000-{series.description}-{series.uid[-5:]}"
    return _of_subject(series, study, name)


def _folder_2019(series: Series) -> PurePosixPath:
    study, name = f"{NBIA_DATE}-DDSM-{series.study[-5:]}", f"1-{series.description}-{series.uid[-5:]}"
    return _of_subject(series, study, name)


def _folder_classic(series: Series) -> PurePosixPath:
    return _of_subject(series, series.study, series.uid)


def _build_metadata_rows(layout: Layout, series: Series, drawing: Drawing, root: Path) -> list[Row]:
    def size(instance: Instance) -> int:
        """Of the file when whole: what is absent or damaged must be drawn to know it."""
        if series.absent or instance.damage:
            return len(layout.encode(drawing.dataset(instance)))
        return (root / layout.path(series, instance)).stat().st_size

    return [build_metadata_row(series, layout.folder(series), sum(map(size, series.instances)))]


def _build_dicom_info_rows(layout: Layout, series: Series, drawing: Drawing, _: Path) -> list[Row]:
    return [
        build_dicom_info_row(series, one, layout.path(series, one), drawing.dataset(one)) for one in series.instances
    ]


def _encode_jpeg(dataset: FileDataset) -> bytes:
    """With the header's confession as its comment: the file must be known for a phantom without the table too."""
    pixels = dataset.pixel_array
    grey = pixels if pixels.dtype == np.uint8 else np.round(pixels / 257).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=_JPEG_QUALITY, comment=PHANTOM_MAKER)
    return buffer.getvalue()


def _make_nbia_layout(
    folder: Callable[[Series], PurePosixPath], name: Callable[[Instance], str] = _name_by_number
) -> Layout:
    """As NBIA Data Retriever writes."""
    metadata = Listing("metadata.csv", "\r\n", _build_metadata_rows)
    return Layout(folder, name, name, encode, metadata, "manifest-phantom", "manifest-phantom-2")


LAYOUTS: dict[LayoutName, Layout] = {
    "nbia": _make_nbia_layout(_folder_2021),
    "nbia-2020": _make_nbia_layout(_folder_2020),
    "nbia-2019": _make_nbia_layout(_folder_2019, _name_by_2019_number),
    "classic": _make_nbia_layout(_folder_classic),
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
