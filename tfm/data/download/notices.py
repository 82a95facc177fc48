"""Notices about a download, in words that a person can check."""

from __future__ import annotations

from dataclasses import dataclass

# Each kind of notice and its heading in the audit, in the order of the audit.
NOTICE_KINDS = {
    "note": "How the given folders were interpreted",
    "unreadable": "Files and folders that cannot be read",
    "truncated": "Truncated files",
    "unfit": "Files that are not a single grey image",
    "missing": "Listed in the CSVs, missing from the download",
    "no-csv": "Parts of the collection without a CSV",
    "unclaimed": "In the download, but not in any CSV",
    "duplicate": "UIDs that several files share (one file is used)",
    "several": "Several suitable files (one is used)",
    "repaired": "Found by other means than the path in the CSV",
    "other-name": "Headers that contradict the CSV (the CSV is used)",
    "mask-size": "Masks whose size differs from their mammogram (resized, nearest neighbour)",
    "bad-mask": "Masks that show no lesion (the image then has no mask)",
    "odd-value": "Values outside their scale (written as missing)",
    "mixed-labels": "Images with benign and malignant lesions (labelled malignant)",
    "twin": "Scans issued twice (merged into one image with the lesions of both)",
    "odd-twin": "Scans issued twice whose files differ in size (they may be different scans)",
    "same-patient": "Identical images of different patients (counted as one patient)",
    "left-out": "Excluded images",
    "thin": "Parts of the split without images of one label (no training or evaluation is possible there)",
}


@dataclass(frozen=True, slots=True)
class Notice:
    kind: str  # a key of NOTICE_KINDS
    subject: str  # TCIA's name of a view or lesion, an image_id, or a file
    words: str

    def __post_init__(self) -> None:
        if self.kind not in NOTICE_KINDS:
            raise ValueError(f"unknown kind of notice: {self.kind}")


def sort_notices(notices: list[Notice]) -> list[Notice]:
    """Sort by kind, then subject, so that the audit does not depend on the order of reading."""
    kinds = list(NOTICE_KINDS)
    return sorted(notices, key=lambda notice: (kinds.index(notice.kind), notice.subject, notice.words))
