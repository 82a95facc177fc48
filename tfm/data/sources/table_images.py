"""From the rows of a collection's table to its images: find the files, read their headers, and name the images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.core.file_walk import FoundFile
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.dataset.lesion_masks import LesionMask, MaskCircle, MaskFile
from tfm.data.dataset.source_images import CollectionFacts, SourceImages, make_image_table
from tfm.data.download.find_files import make_printable
from tfm.data.download.header_index import read_headers_with_progress
from tfm.data.download.headers import Header, is_jpeg
from tfm.data.download.notices import Notice
from tfm.data.patient_id import name_in_collection
from tfm.data.sources.collection import Listing

SIDES = {"L": "LEFT", "LEFT": "LEFT", "R": "RIGHT", "RIGHT": "RIGHT"}
_IN_FILE_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class TableImage:
    """What the tables of a collection say about one image."""

    patient: str  # its name in the collection
    file: FoundFile | None  # None if the download has none
    named: str  # how the table names the file
    label: str = ""  # benign or malignant; "" if `excluded` says why there is none
    excluded: str = ""
    side: str = ""
    view: str = ""
    kind: str = ""
    official: str = ""
    density: int | None = None
    assessment: int | None = None
    lesions: int = 1
    outlines: tuple[tuple[str, str, MaskCircle | FoundFile], ...] = ()  # kind and label of each lesion, and its mask


def build_source_images(
    facts: CollectionFacts,
    rows: Sequence[TableImage],
    listing: Listing,
    *,
    notices: Sequence[Notice] = (),
    options: dict[str, Any] | None = None,
    parts: tuple[str, ...] = (),
) -> Generator[Event, None, SourceImages]:
    """Read the headers of all files that the rows name. Files that cannot be used are reported."""
    files = {row.file.path: row.file for row in rows if row.file}
    headers = yield from read_headers_with_progress([files[path] for path in sorted(files)], listing.index)
    header_of = {header.path: header for header in headers}
    names = _name_images(facts.name, rows)
    found = [*notices, *listing.report_unreadable(), *_report_files(rows, names, header_of)]
    table = make_image_table(
        [_make_row(facts.name, listing, row, name, header_of) for row, name in zip(rows, names, strict=True)]
    )
    return SourceImages(
        facts=facts,
        table=table,
        notices=found,
        synthetic=any(header.is_synthetic for header in headers),
        headers={"files": len(headers)} | dict(Counter(header.fault for header in headers if header.fault)),
        options=options or {},
        parts=parts,
    )


def refuse_patients_in_two_splits(rows: Sequence[TableImage], table: str) -> None:
    """Refuse a published split that is not by patient."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[row.patient].add(row.official)
    torn = sorted(patient for patient, found in splits.items() if len(found) > 1)
    if torn:
        more = f" and {len(torn) - 5} more" if len(torn) > 5 else ""
        raise DataError(
            f"{len(torn)} patients of {table} are in two splits: {', '.join(torn[:5])}{more}",
            hint="give each patient one split, or remove the splits: patients are then drawn at random",
        )


def _name_images(collection: str, rows: Sequence[TableImage]) -> list[str]:
    """Name each image by patient, side and view, and by its file too where these are not enough."""
    usual = ["_".join(filter(None, (row.patient, row.side, row.view))) for row in rows]
    counts = Counter(usual)
    full = [
        name if counts[name] == 1 and row.side and row.view else f"{name}_{Path(row.named).stem}"
        for name, row in zip(usual, rows, strict=True)
    ]
    clean = [_IN_FILE_NAMES.sub("-", name) for name in full]
    taken: Counter[str] = Counter()
    names = []
    for name in clean:
        taken[name] += 1
        names.append(name_in_collection(collection, name if taken[name] == 1 else f"{name}_{taken[name]}"))
    return names


def _make_row(
    collection: str, listing: Listing, row: TableImage, name: str, header_of: dict[str, Header]
) -> dict[str, Any]:
    header = header_of.get(row.file.path) if row.file else None
    is_usable = header is not None and header.fault in ("", "colour")  # the pixels of a colour image may be grey
    used = header if header is not None and is_usable else Header(path="", size=0)
    return {
        "image_id": name,
        "patient_id": name_in_collection(collection, row.patient),
        "side": row.side,
        "view": row.view,
        "scan": name,
        "kind": row.kind,
        "label": row.label,
        "density": pd.NA if row.density is None else row.density,
        "assessment": pd.NA if row.assessment is None else row.assessment,
        "subtlety": pd.NA,
        "lesions": row.lesions,
        "official": row.official,
        "excluded": row.excluded,
        "source": used.path,
        "sop_uid": _identify(listing, used) if used.path else "",
        "bytes": used.size,
        "rows": used.rows,
        "columns": used.columns,
        "masks": tuple(_make_mask(listing, name, *outline) for outline in row.outlines),
    }


def _identify(listing: Listing, header: Header) -> str:
    """Return the UID of a DICOM file, and of others their place in the download, which no other file has."""
    return header.sop_uid if header.sop_uid and not is_jpeg(header.path) else listing.locate(header.path)


def _make_mask(listing: Listing, name: str, kind: str, label: str, outline: MaskCircle | FoundFile) -> LesionMask:
    value = encode_mask_class(kind, label.upper())
    if isinstance(outline, MaskCircle):
        return LesionMask(name, outline, f"{outline.x} {outline.y} {outline.radius}", 0, value)
    return LesionMask(name, MaskFile(Path(outline.path)), listing.locate(outline.path), outline.size, value)


def _report_files(rows: Sequence[TableImage], names: Sequence[str], header_of: dict[str, Header]) -> list[Notice]:
    notices = []
    for row, name in zip(rows, names, strict=True):
        if row.file is None:
            notices.append(Notice("missing", name, f"{make_printable(row.named)} is not in the download"))
            continue
        header = header_of[row.file.path]
        words = f"{make_printable(row.named)}, {header.size} bytes"
        if not header.is_readable:
            notices.append(Notice("unreadable", name, f"{words}, is not a readable image"))
        elif header.fault == "truncated":
            notices.append(Notice("truncated", name, f"{words}, ends before its pixels do"))
        elif header.fault == "frames":
            notices.append(Notice("unfit", name, f"{words}, has several frames, like tomosynthesis"))
    return notices
