"""Match the lesions of the case CSVs with the files on disk: mammogram, mask and crop.
Pixels are read only where headers are ambiguous. Labels and splits are not used here."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.lesions_to_images import Lesion
from tfm.data.download.find_files import make_printable
from tfm.data.download.headers import Header, is_jpeg
from tfm.data.download.notices import Notice
from tfm.data.format_table import format_table
from tfm.data.sources.cbis_ddsm import LESION_KEY
from tfm.imaging.read_image import has_at_most_two_values, read_pixels

ROLES = ("image", "mask", "crop")
FACTS = ("file", "sop", "bytes", "rows", "columns", "bits")
FILE_COLUMNS = [f"{role}_{fact}" for role in ROLES for fact in FACTS]  # "" and 0 where no complete file was found
_NUMBERS = [f"{role}_{fact}" for role in ROLES for fact in ("bytes", "rows", "columns", "bits")]
_UNFIT = {"colour": "is a colour image", "frames": "has several frames, like tomosynthesis"}


@dataclass(frozen=True)
class Catalog:
    lesions: pd.DataFrame  # the columns of `read_cases`, then FILE_COLUMNS
    notices: list[Notice]
    synthetic: bool  # phantoms, not patients
    missing: list[tuple[str, str]]  # subject and UID ("" if unknown) of each series that is absent or incomplete
    headers: dict[str, int]  # counts of the files read
    series: int  # number of series on disk
    listing: pd.DataFrame | None  # contents of NBIA's metadata.csv

    def has_test(self, role: str) -> bool:
        """Whether any file of TCIA's test set is on disk."""
        return bool(((self.lesions["split"] == "test") & (self.lesions[f"{role}_file"] != "")).any())

    def list_series_to_fetch(self) -> list[str]:
        """Return the UIDs of the missing series, from the CSVs or else from metadata.csv."""
        listed = {} if self.listing is None else self.listing.groupby("subject")["series_uid"].apply(list).to_dict()
        found = ([known] if known else listed.get(subject, []) for subject, known in self.missing)
        return sorted({uid for uids in found for uid in uids})


def format_lesion_table(catalog: Catalog, downloads: Sequence[Path]) -> str:
    """Format the lesions as CSV, with file paths relative to the downloads and the split as `official_split`."""
    root = os.path.commonpath(downloads) + os.sep
    files = {
        f"{role}_file": catalog.lesions[f"{role}_file"].map(lambda file: make_printable(file.removeprefix(root)))
        for role in ROLES
    }
    table = catalog.lesions.assign(**files).rename(columns={"split": "official_split"})
    return format_table(table)


def format_view_subject(case: Lesion) -> str:
    """Return TCIA's PatientID of a mammogram's series."""
    split = {"train": "Training", "test": "Test"}[case["split"]]
    return f"{case['kind'].capitalize()}-{split}_{case['patient_id']}_{case['side']}_{case['view']}"


def format_lesion_subject(case: Lesion) -> str:
    """Return TCIA's PatientID of the series of a lesion's mask and crop."""
    return f"{format_view_subject(case)}_{case['lesion_id']}"


def match_files(
    cases: pd.DataFrame,
    headers: Iterable[Header],
    earlier: Iterable[Notice] = (),
    listing: pd.DataFrame | None = None,
) -> Catalog:
    """Find the files of each lesion. `earlier` holds the notices from reading the folders and the CSVs."""
    files = _Files(notices=list(earlier))
    for header in headers:
        files.add(header)
    files.report_duplicates()
    rows = []
    for _, group in groupby(cases.sort_values(LESION_KEY).to_dict("records"), format_view_subject):
        lesions_of_view = list(group)
        image = files.find_mammogram(lesions_of_view[0])
        for case in lesions_of_view:
            mask, crop = files.find_mask_and_crop(case, image)
            rows.append(
                case | _make_columns("image", image) | _make_columns("mask", mask) | _make_columns("crop", crop)
            )
    # As objects, because strings of pandas cannot hold the undecodable bytes of some file names.
    lesions = pd.DataFrame(rows, columns=[*cases.columns, *FILE_COLUMNS], dtype=object)
    types = {name: cases[name].dtype for name in cases.columns} | dict.fromkeys(_NUMBERS, "int64")
    return Catalog(
        lesions.astype(types),
        files.notices,
        synthetic=files.synthetic,
        missing=sorted(files.missing),
        headers=dict(files.counts),
        series=len(files.by_series),
        listing=listing,
    )


@dataclass
class _Files:
    """Index the readable files of a download by their headers, and collect notices during lookups."""

    by_series: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_tail: dict[tuple[str, str], list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_subject: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    by_sop: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    notices: list[Notice] = field(default_factory=list)
    missing: set[tuple[str, str]] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    synthetic: bool = False

    def add(self, header: Header) -> None:
        self.counts["files"] += 1
        if not header.is_readable:
            self._report("unreadable", _shorten_path(header), f"{header.size} bytes, not a readable image")
            return
        self.synthetic |= header.is_synthetic
        self.by_series[header.series_uid].append(header)
        self.by_tail[header.tcia_subject, header.series_tail].append(header)
        self.by_subject[header.tcia_subject].append(header)
        self.by_sop[header.sop_uid].append(header)
        self.counts["JPEG files"] += is_jpeg(header.path)
        self.counts["without Laterality"] += not header.side
        self.counts["without PatientOrientation"] += not header.view

    def report_duplicates(self) -> None:
        for same in self.by_sop.values():
            if len(same) > 1:
                places = " and ".join(_shorten_path(header) for header in same)
                sizes = " and ".join(f"{size} bytes" for size in sorted({header.size for header in same}))
                subject = same[0].tcia_subject or same[0].series_uid
                self._report("duplicate", subject, f"the same UID, {sizes}: {places}")

    def find_mammogram(self, case: Lesion) -> Header | None:
        subject, series = format_view_subject(case), {case["image_series"]} - {""}
        found = self._find_series(series, subject)
        candidates = [file for file in found if file.bits != 8] or [file for file in found if not _has_two_values(file)]
        image = self._choose_complete(candidates, subject, "image", series)
        if image is not None:
            pairs = {
                "PatientID": (image.tcia_subject, subject),
                "side": (image.side, case["side"][0]),
                "view": (image.view if image.view in ("CC", "MLO") else "", case["view"]),
            }
            for what, (header, csv) in pairs.items():
                if header and header != csv:  # people have checked the CSV, so it is used
                    self._report("other-name", subject, f"the header's {what} is {header}")
        return image

    def find_mask_and_crop(self, case: Lesion, image: Header | None) -> tuple[Header | None, Header | None]:
        """Tell mask and crop apart by content: CSV columns, file names and file order are often wrong."""
        subject, series = format_lesion_subject(case), {case["mask_series"], case["crop_series"]} - {""}
        roles: dict[str, list[Header]] = {"mask": [], "crop": []}
        for file in self._find_series(series, subject):
            roles[_infer_role(file, image)].append(file)
        mask = self._choose_complete(roles["mask"], subject, "mask", series)
        crop = self._choose_complete(roles["crop"], subject, "crop", series)
        if mask and image and (mask.rows, mask.columns) != (image.rows, image.columns):
            sizes = f"{mask.rows} × {mask.columns}, its mammogram {image.rows} × {image.columns}"
            self._report("mask-size", subject, sizes)
        return mask, crop

    def _find_series(self, series: set[str], subject: str) -> list[Header]:
        """Find files by series UID, else by PatientID and the end of the UID, else by PatientID alone."""
        found = [file for uid in sorted(series) for file in self.by_series.get(uid, [])]
        if found:
            return found
        found = [file for uid in sorted(series) for file in self.by_tail.get((subject, uid[-5:]), [])]
        how = "PatientID and the last digits of the series UID"
        if not found:
            found, how = self.by_subject.get(subject, []), "PatientID"
        if found and series:
            self._report("repaired", subject, f"found by {how}; the CSV's series UID is not in the download")
        return found

    def _choose_complete(self, files: list[Header], subject: str, role: str, series: set[str]) -> Header | None:
        """Return the largest complete file, DICOM before JPEG, and the first by path among copies."""
        what = "mammogram" if role == "image" else role
        complete = [file for file in files if not file.fault]
        if complete:
            chosen = min(complete, key=lambda file: (is_jpeg(file.path), -file.rows * file.columns, file.path))
            others = sorted(_shorten_path(file) for file in complete if file.sop_uid != chosen.sop_uid)
            if others:
                used = _shorten_path(chosen)
                self._report("several", subject, f"{used} is used as its {what}, not {' or '.join(others)}")
            return chosen
        if not files:
            self._report("missing", subject, f"the {what} is not in the download")
        elif files[0].fault == "truncated":
            self._report("truncated", subject, f"the {what} {_shorten_path(files[0])} ends after {files[0].size} bytes")
        else:
            self._report("unfit", subject, f"the {what} {_shorten_path(files[0])} {_UNFIT[files[0].fault]}")
        absent = {uid for uid in series if not any(not file.fault for file in self.by_series.get(uid, []))}
        self.missing |= {(subject, uid) for uid in absent or series or {""}}
        return None

    def _report(self, kind: str, subject: str, words: str) -> None:
        self.notices.append(Notice(kind, subject, words))


def _shorten_path(header: Header) -> str:
    return make_printable("/".join(Path(header.path).parts[-6:]))  # manifest-…/CBIS-DDSM/subject/study/series/file


def _infer_role(file: Header, image: Header | None) -> str:
    """Tell a mask from a crop.

    A mask has 8 bits and about the size of its mammogram (some of TCIA's have 0.87 of its height and width). A crop
    has 16 bits and is far smaller. In other cases the pixels decide: a mask has two values.
    """
    if image is None:
        is_clear, is_mask = file.bits > 0, file.bits == 8
    else:
        is_mask = file.rows >= 0.5 * image.rows and file.columns >= 0.5 * image.columns
        is_clear = file.bits != (16 if is_mask else 8)
    return "mask" if (is_mask if is_clear else _has_two_values(file)) else "crop"


def _has_two_values(file: Header) -> bool:
    """Whether the pixels have exactly two values: an image of one grey shows no lesion."""
    try:
        pixels = read_pixels(Path(file.path))
    except DataError:
        return False
    return bool(pixels.min() < pixels.max()) and has_at_most_two_values(pixels)


def _make_columns(role: str, file: Header | None) -> Lesion:
    file = file or Header(path="", size=0)
    facts = (file.path, file.sop_uid, file.size, file.rows, file.columns, file.bits)
    return {f"{role}_{fact}": value for fact, value in zip(FACTS, facts, strict=True)}
