"""The CSVs and the files on disk, joined: each lesion with its mammogram, its mask and its crop.

Pixels are read only where headers leave a doubt; labels and splits play no part.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.image_table import Lesion
from tfm.data.download.folders import make_printable
from tfm.data.download.headers import Header, is_jpeg
from tfm.data.download.notices import Notice
from tfm.data.sources.cbis_ddsm import LESION_KEY
from tfm.imaging.read_image import has_at_most_two_values, read_pixels

ROLES = ("image", "mask", "crop")
FACTS = ("file", "sop", "bytes", "rows", "columns", "bits")
FILE_COLUMNS = [f"{role}_{fact}" for role in ROLES for fact in FACTS]  # "" and 0 where no whole file was found
_PARTS_SHOWN = 6  # of a path: manifest-…/CBIS-DDSM/subject/study/series/file
_PREFIX = {"mass": "Mass", "calc": "Calc"}
_SPLIT_WORD = {"train": "Training", "test": "Test"}
_SIDES, _VIEWS = {"LEFT": "L", "RIGHT": "R"}, ("CC", "MLO")
_UNFIT = {"colour": "is a colour image", "frames": "has several frames, as tomosynthesis has"}
_WHAT = {"image": "mammogram", "mask": "mask", "crop": "crop"}


@dataclass(frozen=True)
class Catalog:
    lesions: pd.DataFrame  # the columns of `read_cases`, then FILE_COLUMNS
    notices: list[Notice]
    synthetic: bool  # drawn by a program, not taken of a patient
    lacking: list[tuple[str, str]]  # subject and UID of each series that the CSVs promise and that is not whole here
    headers: dict[str, int]  # what was read, counted
    series: int  # how many of them are on the disk
    listing: pd.DataFrame | None  # what NBIA's metadata.csv lists, where there is one

    def has_test(self, role: str) -> bool:
        """Whether any file of TCIA's test is here; scans issued in train too make no test set."""
        return bool(((self.lesions["split"] == "test") & (self.lesions[f"{role}_file"] != "")).any())

    def list_series_to_fetch(self) -> list[str]:
        """UIDs of `lacking`; where the CSVs have none, those that the listing has under the same subject."""
        listed = {} if self.listing is None else self.listing.groupby("subject")["series_uid"].apply(list).to_dict()
        return sorted(
            {uid for subject, known in self.lacking for uid in ([known] if known else listed.get(subject, []))}
        )


def format_lesion_table(catalog: Catalog, downloads: Sequence[Path]) -> str:
    """The table as CSV, with files as they lie below the downloads: the same wherever those are. The split is that of
    the CSVs, not the dataset's, and is called so."""
    root = os.path.commonpath(downloads) + os.sep
    files = {
        f"{role}_file": catalog.lesions[f"{role}_file"].map(lambda file: make_printable(file.removeprefix(root)))
        for role in ROLES
    }
    table = catalog.lesions.assign(**files).rename(columns={"split": "official_split"})
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def format_view_subject(case: Lesion) -> str:
    """TCIA's PatientID of a mammogram. That of a lesion's series ends with its id besides."""
    prefix = f"{_PREFIX[case['kind']]}-{_SPLIT_WORD[case['split']]}"
    return f"{prefix}_{case['patient_id']}_{case['side']}_{case['view']}"


def format_lesion_subject(case: Lesion) -> str:
    return f"{format_view_subject(case)}_{case['lesion_id']}"


def match_files(
    cases: pd.DataFrame,
    headers: Iterable[Header],
    noticed: Iterable[Notice] = (),
    listing: pd.DataFrame | None = None,
) -> Catalog:
    """`noticed` is what finding the files and reading the cases told already."""
    files = _Files(notices=list(noticed))
    for header in headers:
        files.add(header)
    files.note_duplicates()
    rows = []
    for _, group in groupby(cases.sort_values(LESION_KEY).to_dict("records"), format_view_subject):
        lesions_of_view = list(group)
        image = files.mammogram(lesions_of_view[0])
        for case in lesions_of_view:
            mask, crop = files.mask_and_crop(case, image)
            rows.append(case | _columns("image", image) | _columns("mask", mask) | _columns("crop", crop))
    lesions = pd.DataFrame(rows, columns=[*cases.columns, *FILE_COLUMNS])
    types = {name: cases[name].dtype for name in cases.columns}
    return Catalog(
        lesions.astype(types),
        files.notices,
        synthetic=files.synthetic,
        lacking=sorted(files.lacking),
        headers=dict(files.counts),
        series=len(files.by_series),
        listing=listing,
    )


@dataclass
class _Files:
    """The readable files of a download by what their headers say, and what was noticed while asking for them."""

    by_series: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_tail: dict[tuple[str, str], list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_subject: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_sop: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    notices: list[Notice] = field(default_factory=list)
    lacking: set[tuple[str, str]] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    synthetic: bool = False

    def add(self, header: Header) -> None:
        self.counts["files"] += 1
        if header.fault == "unreadable":
            self._note("unreadable", _place(header), f"{header.size} bytes, and no image that can be read")
            return
        self.synthetic |= header.is_synthetic
        self.by_series[header.series_uid].append(header)
        self.by_tail[header.tcia_subject, header.series_tail].append(header)
        self.by_subject[header.tcia_subject].append(header)
        self.by_sop[header.sop_uid].append(header)
        self.counts["JPEG files"] += is_jpeg(header.path)
        self.counts["without Laterality"] += not header.side
        self.counts["without PatientOrientation"] += not header.view

    def note_duplicates(self) -> None:
        for same in self.by_sop.values():
            if len(same) > 1:
                places = " and ".join(_place(header) for header in same)
                sizes = " and ".join(f"{size} bytes" for size in sorted({header.size for header in same}))
                self._note("duplicate", same[0].tcia_subject or same[0].series_uid, f"one UID, {sizes}: {places}")

    def mammogram(self, case: Lesion) -> Header | None:
        subject, series = format_view_subject(case), {case["image_series"]} - {""}
        found = self._of_series(series, subject)
        likely = [file for file in found if file.bits != 8] or [file for file in found if not _has_two_values(file)]
        image = self._whole(likely, subject, "image", series)
        if image is not None:
            self._compare_names(case, image, subject)
        return image

    def mask_and_crop(self, case: Lesion, image: Header | None) -> tuple[Header | None, Header | None]:
        """Told from each other by content: CSV columns, file names and order are wrong too often."""
        subject, series = format_lesion_subject(case), {case["mask_series"], case["crop_series"]} - {""}
        roles: dict[str, list[Header]] = {"mask": [], "crop": []}
        for file in self._of_series(series, subject):
            roles[_role(file, image)].append(file)
        mask = self._whole(roles["mask"], subject, "mask", series)
        crop = self._whole(roles["crop"], subject, "crop", series)
        if mask and image and (mask.rows, mask.columns) != (image.rows, image.columns):
            sizes = f"{mask.rows} × {mask.columns}, its mammogram {image.rows} × {image.columns}"
            self._note("mask-size", subject, sizes)
        return mask, crop

    def _of_series(self, series: set[str], subject: str) -> list[Header]:
        """By the header's series UID; else by PatientID and the UID's tail; else by PatientID alone."""
        found = [file for uid in sorted(series) for file in self.by_series.get(uid, [])]
        if found:
            return found
        found = [file for uid in sorted(series) for file in self.by_tail.get((subject, uid[-5:]), [])]
        how = "PatientID and the tail of its series UID"
        if not found:
            found, how = self.by_subject.get(subject, []), "PatientID"
        if found and series:
            self._note("repaired", subject, f"found by {how}: the CSV's series UID is not in the download")
        return found

    def _whole(self, files: list[Header], subject: str, role: str, series: set[str]) -> Header | None:
        """The largest whole file, DICOM before JPEG; the first by path where a series was downloaded twice."""
        what, whole = _WHAT[role], [file for file in files if not file.fault]
        if whole:
            taken = min(whole, key=lambda file: (is_jpeg(file.path), -file.rows * file.columns, file.path))
            others = sorted(_place(file) for file in whole if file.sop_uid != taken.sop_uid)
            if others:
                self._note("several", subject, f"as its {what} {_place(taken)} was taken, not {' nor '.join(others)}")
            return taken
        if not files:
            self._note("missing", subject, f"the {what} is not in the download")
        elif files[0].fault == "truncated":
            self._note("truncated", subject, f"the {what} {_place(files[0])} ends after {files[0].size} bytes")
        else:
            self._note("unfit", subject, f"the {what} {_place(files[0])} {_UNFIT[files[0].fault]}")
        absent = {uid for uid in series if not any(not file.fault for file in self.by_series.get(uid, []))}
        self.lacking |= {(subject, uid) for uid in absent or series or {""}}
        return None

    def _compare_names(self, case: Lesion, image: Header, subject: str) -> None:
        """The CSV's word stands: it was checked by people. What the header says otherwise is told."""
        said = {"PatientID": (image.tcia_subject, subject), "side": (image.side, _SIDES[case["side"]])}
        said["view"] = (image.view if image.view in _VIEWS else "", case["view"])
        for what, (header, csv) in said.items():
            if header and header != csv:
                self._note("other-name", subject, f"the header's {what} is {header}")

    def _note(self, kind: str, subject: str, words: str) -> None:
        self.notices.append(Notice(kind, subject, words))


def _place(header: Header) -> str:
    return make_printable("/".join(Path(header.path).parts[-_PARTS_SHOWN:]))


def _role(file: Header, image: Header | None) -> str:
    """A mask has 8 bits and about its mammogram's size (some of TCIA's are 0.87 of it a side); a crop has 16 and is
    far smaller. What is neither is decided by its pixels: a mask has two values."""
    if image is None:
        if file.bits:
            return "mask" if file.bits == 8 else "crop"
    else:
        is_large = file.rows >= 0.5 * image.rows and file.columns >= 0.5 * image.columns
        if is_large and file.bits != 16:
            return "mask"
        if not is_large and file.bits != 8:
            return "crop"
    return "mask" if _has_two_values(file) else "crop"


def _has_two_values(file: Header) -> bool:
    """Exactly two: a picture of one grey shows no lesion."""
    try:
        pixels = read_pixels(Path(file.path))
    except DataError:
        return False
    return bool(pixels.min() < pixels.max()) and has_at_most_two_values(pixels)


def _columns(role: str, file: Header | None) -> Lesion:
    if file is None:
        file = Header(path="", size=0)
    facts = (file.path, file.sop_uid, file.size, file.rows, file.columns, file.bits)
    return {f"{role}_{fact}": value for fact, value in zip(FACTS, facts, strict=True)}
