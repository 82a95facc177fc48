"""Small phantom downloads on disk, and a reader of their files that uses nothing of the program's own."""

import csv
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from filelock import FileLock

from tfm.data.phantom.cohort import plan_download
from tfm.data.phantom.download_plan import DownloadPlan, LayoutName
from tfm.data.phantom.traps import parse_traps
from tfm.data.phantom.writer import write_download


def phantom_download(
    folder: Path, train_women: int, test_women: int, *, planted: str = "none", **other: Any
) -> DownloadPlan:
    """Write a download and return its plan, which is the truth about it."""
    usual = {"kinds": ("mass", "calc"), "height": 256, "difficulty": 0.3, "shuffle_labels": False, "seed": 2}
    plan = plan_download(train_women=train_women, test_women=test_women, traps=parse_traps(planted), **(usual | other))
    shutil.copytree(_draw_once(plan), folder, dirs_exist_ok=True)
    return plan


def _draw_once(plan: DownloadPlan) -> Path:
    """Draw a download in a folder that all tests of this session share. Drawing it takes a second."""
    home = Path(os.environ["XDG_CACHE_HOME"])  # conftest.py makes one for all processes
    drawn = home / "phantoms" / hashlib.sha256(repr(plan).encode()).hexdigest()
    drawn.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(drawn.with_suffix(".lock")):
        if not drawn.exists():
            list(write_download(plan, drawn.with_suffix(".part")))
            drawn.with_suffix(".part").rename(drawn)
    return drawn


@dataclass(frozen=True)
class Image:
    """A file of a download, read by nothing of the program's own. Of a file of zeros in DICOM there are no facts."""

    path: Path
    facts: dict[str, str]  # as in the DICOM header, or in Kaggle's table
    pixels: np.ndarray | None  # None where they cannot be read or are cut

    def __getattr__(self, fact: str) -> str:
        return self.facts.get(fact, "")


def make_plan(*traps: str, layout: LayoutName = "nbia", **changes: Any) -> DownloadPlan:
    plain: dict[str, Any] = {
        "train_women": 3, "test_women": 1, "kinds": ("mass", "calc"), "height": 256, "difficulty": 0.3,
        "shuffle_labels": False, "seed": 5, "traps": frozenset(traps), "layout": layout,
    }  # fmt: skip
    return plan_download(**plain | changes)


def write_phantom(out: Path, wanted: DownloadPlan) -> Path:
    list(write_download(wanted, out))
    return out


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_case_rows(out: Path, kind: str = "*") -> list[dict[str, str]]:
    return [row for path in sorted(out.rglob(f"{kind}_case_description_*_set.csv")) for row in read_table(path)]


def read_images(out: Path) -> list[Image]:
    return [*map(_read_dicom, sorted(out.rglob("*.dcm"))), *_read_jpegs(out)]


def _read_dicom(path: Path) -> Image:
    if not path.read_bytes().strip(b"\0"):
        return Image(path, {}, None)
    dataset = pydicom.dcmread(path)
    facts = {element.keyword: str(element.value) for element in dataset if element.keyword != "PixelData"}
    whole = len(dataset.get("PixelData", b"")) >= dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    return Image(path, facts, dataset.pixel_array if whole else None)


def _read_jpegs(out: Path) -> Iterator[Image]:
    for listing in sorted(out.rglob("dicom_info.csv")):
        for row in read_table(listing):
            path = listing.parents[1] / Path(row["image_path"]).relative_to("CBIS-DDSM")
            if path.exists():
                content = path.read_bytes()
                whole = content.endswith(b"\xff\xd9")
                pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
                yield Image(path, row, pixels)


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
