"""The CSVs and the files on disk, joined: each lesion with its mammogram and its mask. No pixel is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pandas as pd

from tfm.data.findings import Finding
from tfm.data.headers import Header
from tfm.data.images import Lesion
from tfm.data.tables import LESION_KEY

# What a lesion row gains here. Paths are "" where the download has no whole file.
FILE_COLUMNS = [
    *("image_file", "image_sop", "image_bytes", "image_rows", "image_columns"),
    *("mask_file", "mask_sop", "mask_bytes"),
]
_PREFIX = {"mass": "Mass", "calc": "Calc"}
_SPLIT_WORD = {"train": "Training", "test": "Test"}


@dataclass(frozen=True)
class Catalog:
    lesions: pd.DataFrame  # the columns of `read_cases`, then FILE_COLUMNS
    findings: list[Finding]
    synthetic: bool  # drawn by a program, not taken of a patient


def _view_subject(case: Lesion) -> str:
    """TCIA's PatientID of a mammogram. That of a lesion's series ends with its id besides."""
    prefix = f"{_PREFIX[case['kind']]}-{_SPLIT_WORD[case['split']]}"
    return f"{prefix}_{case['patient_id']}_{case['side']}_{case['view']}"


def join(cases: pd.DataFrame, headers: Iterable[Header], noticed: Iterable[Finding] = ()) -> Catalog:
    """`noticed` is what reading the cases told already."""
    download = _Download(findings=list(noticed))
    for header in headers:
        download.add(header)
    rows = []
    for _, group in groupby(cases.sort_values(LESION_KEY).to_dict("records"), _view_subject):
        lesions_of_view = list(group)
        image = download.mammogram(lesions_of_view[0])
        for case in lesions_of_view:
            rows.append(case | _image_columns(image) | _mask_columns(download.mask(case, image)))
    lesions = pd.DataFrame(rows, columns=[*cases.columns, *FILE_COLUMNS])
    return Catalog(
        lesions.astype({name: cases[name].dtype for name in cases.columns}), download.findings, download.synthetic
    )


@dataclass
class _Download:
    """The readable files of a download by what their headers say, and what was noticed while asking for them."""

    by_series: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_subject: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)
    synthetic: bool = False

    def add(self, header: Header) -> None:
        if header.fault == "unreadable":
            self._note("unreadable", "/".join(header.path.parts[-4:]), f"{header.size} bytes without a DICOM header")
            return
        self.synthetic |= header.synthetic
        self.by_series[header.series_uid].append(header)
        self.by_subject[header.subject].append(header)

    def mammogram(self, case: Lesion) -> Header | None:
        subject = _view_subject(case)
        files = self._files({case["image_series"]}, subject)
        return self._whole([file for file in files if file.bits > 8], subject, "mammogram")

    def mask(self, case: Lesion, image: Header | None) -> Header | None:
        """Told from the crop by content: CSV columns, file names and order are wrong too often."""
        subject = f"{_view_subject(case)}_{case['lesion_id']}"
        files = self._files({case["mask_series"], case["crop_series"]}, subject)
        mask = self._whole([file for file in files if _is_mask(file, image)], subject, "mask")
        if mask and image and (mask.rows, mask.columns) != (image.rows, image.columns):
            sizes = f"{mask.rows} × {mask.columns}, its mammogram {image.rows} × {image.columns}"
            self._note("mask-size", subject, sizes)
        return mask

    def _files(self, series: set[str], subject: str) -> list[Header]:
        """By series UID; by PatientID where the CSV has no UIDs, or the download others."""
        found = [file for uid in sorted(series - {""}) for file in self.by_series.get(uid, [])]
        if found:
            return found
        found = self.by_subject.get(subject, [])
        if found and series - {""}:
            self._note("repaired", subject, "found by its PatientID: the CSV's series UID is not in the download")
        return found

    def _whole(self, files: list[Header], subject: str, what: str) -> Header | None:
        """The largest whole file; the first by path where a series was downloaded twice."""
        whole = [file for file in files if not file.fault]
        if whole:
            return min(whole, key=lambda file: (-file.rows * file.columns, file.path))
        if files:
            self._note("truncated", subject, f"the {what} {files[0].path.name} ends after {files[0].size} bytes")
        else:
            self._note("missing", subject, f"the {what} is not in the download")
        return None

    def _note(self, kind: str, subject: str, words: str) -> None:
        self.findings.append(Finding(kind, subject, words))


def _is_mask(file: Header, image: Header | None) -> bool:
    """8 bits and about its mammogram's size: some of TCIA's are 0.87 of it a side, and a crop is far less."""
    if file.bits != 8:
        return False
    return image is None or (file.rows >= 0.5 * image.rows and file.columns >= 0.5 * image.columns)


def _image_columns(image: Header | None) -> Lesion:
    if image is None:
        image = Header(path=Path(), size=0)
    return {
        "image_file": str(image.path) if image.size else "",
        "image_sop": image.sop_uid,
        "image_bytes": image.size,
        "image_rows": image.rows,
        "image_columns": image.columns,
    }


def _mask_columns(mask: Header | None) -> Lesion:
    if mask is None:
        return {"mask_file": "", "mask_sop": "", "mask_bytes": 0}
    return {"mask_file": str(mask.path), "mask_sop": mask.sop_uid, "mask_bytes": mask.size}
