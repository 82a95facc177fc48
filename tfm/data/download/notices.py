"""What the intake noticed about a download, in words a person can check. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass

# Each kind of finding, in the order and under the heading in which an audit shows it.
NOTICE_KINDS = {
    "note": "How the folders given were understood",
    "unreadable": "Files and folders that cannot be read",
    "truncated": "Files cut short",
    "unfit": "Files that are no single grey image",
    "missing": "Promised by the CSVs, absent from the download",
    "no-csv": "Parts of the collection that no CSV found speaks of",
    "unclaimed": "In the download, but in no CSV",
    "duplicate": "UIDs of files that are there more than once (one is used)",
    "several": "More than one file that would do",
    "repaired": "Found in another way than the CSV names it",
    "other-name": "Headers that contradict the CSV (the CSV stands)",
    "mask-size": "Masks of another size than their mammogram (resized to it, nearest neighbour)",
    "bad-mask": "Masks that show no lesion (the image has none then)",
    "odd-value": "Values no scale knows (written as missing)",
    "mixed-labels": "Images with benign and malignant lesions (labelled malignant)",
    "twin": "Scans issued twice (one image with the lesions of both)",
    "odd-twin": "Scans issued twice whose files differ in size (is it one scan?)",
    "left-out": "Images left out",
    "thin": "Parts of the split that lack a label (nothing can be learned or measured there)",
}


@dataclass(frozen=True, slots=True)
class Notice:
    kind: str  # a key of FINDING_KINDS
    subject: str  # TCIA's name of a view or lesion, an image_id, or a file
    words: str

    def __post_init__(self) -> None:
        if self.kind not in NOTICE_KINDS:
            raise ValueError(f"no such kind of finding: {self.kind}")


def sort_notices(findings: list[Notice]) -> list[Notice]:
    """By kind, then subject: the same audit whatever was looked at first."""
    kinds = list(NOTICE_KINDS)
    return sorted(findings, key=lambda found: (kinds.index(found.kind), found.subject, found.words))
