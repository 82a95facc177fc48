"""The images of a collection, as every collection yields them. `dataset_plan` makes a dataset of them.

What is true of one collection only stands in its file in `tfm.data.sources`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from tfm.core.events import Note
from tfm.data.dataset.lesion_masks import MaskFile
from tfm.data.dataset.same_patients import ComparedFile, list_compared_files
from tfm.data.download.find_files import make_printable
from tfm.data.download.notices import Notice
from tfm.data.format_table import format_table

KINDS = ("mass", "calc")
IMAGE_COLUMNS = (
    *("image_id", "patient_id", "side", "view"),
    "scan",  # the same for all images that are cut out of one mammogram
    "kind",  # mass, calc, mass+calc or ""
    "label",  # benign or malignant, or "" if `excluded` says why there is none
    *("density", "assessment", "subtlety"),  # <NA> if unknown
    "lesions",  # their number
    "official",  # the published split: train, val or test; "" if there is none
    "excluded",  # why the image cannot be used; "" if it can
    *("source", "sop_uid", "bytes", "rows", "columns"),  # its file; "" and 0 if there is no complete one
    "masks",  # a tuple of LesionMask: all lesions of the image, or none
)
_COUNTS = ("lesions", "bytes", "rows", "columns")
_SCALES = ("density", "assessment", "subtlety")


@dataclass(frozen=True)
class DatasetSettings:
    """The settings of a dataset that every collection has."""

    split: Literal["official", "random", "kfold"]
    val_share: float
    seed: int
    as_png: bool


@dataclass(frozen=True)
class CollectionFacts:
    """What a protocol, an audit and a model card say about a collection."""

    name: str  # as in the setting `collection`
    title: str
    labels: str  # what they mean, for the protocol
    licence: str
    citation: str
    pixels: str = ""  # what is known about all of them and not in the files
    split: str = "official"  # whose split the table has, for the protocol


@dataclass(frozen=True, kw_only=True)
class SourceImages:
    """The images of a collection.

    Attributes:
        table: A row for each image that the collection's tables name, with IMAGE_COLUMNS, sorted by image_id.
        notices: What was noticed in the download.
        image_notices: What was noticed about single images. Only those of images in the dataset are reported.
        options: The collection's own settings.
        parts: Further words of the protocol.
        headers: Counts of the files that were read.
    """

    facts: CollectionFacts
    table: pd.DataFrame
    notices: list[Notice]
    synthetic: bool
    headers: dict[str, int]
    image_notices: list[Notice] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    what: ClassVar[str] = "mammograms"  # what an image is
    claim_of_test: ClassVar[str] = "no patient of the published test set is in train or val"
    claim_of_labels: ClassVar[str] = "an image is malignant exactly if its table says so"
    claim_of_images: ClassVar[str] = "every image of the tables is in the dataset or left out by name"

    def list_compared_files(self) -> list[list[ComparedFile]]:
        """List the files, each kind apart, that may show one patient under two names."""
        columns = ("scan", "patient_id", "source", "rows", "columns")
        return [list_compared_files(*(self.table[column] for column in columns))]

    def has_test_images(self) -> bool:
        """Whether any file of the published test set is on disk."""
        return bool(((self.table["official"] == "test") & (self.table["source"] != "")).any())

    def describe_content(self, kept: pd.DataFrame) -> list[str]:
        """Return the parts of the protocol that say what the images and labels are."""
        return [self.facts.title, "+".join(find_kinds(kept)), self.facts.labels, *self.parts]

    def describe_exclusions(self) -> list[str]:
        """Return the parts of the protocol that say which images the settings leave out."""
        return []

    def describe_gaps(self, kept: pd.DataFrame) -> list[str]:
        """Return the parts of the protocol that say what of the published test set is unknown."""
        return []

    def describe_settings(self, choices: DatasetSettings) -> dict[str, Any]:
        """Return the settings by which datasets of the same download differ."""
        return {"collection": self.facts.name, **self.options, **asdict(choices)}

    def describe_download(self) -> dict[str, Any]:
        """Return the sections of audit.json about the collection and its files."""
        found = self.table["source"] != ""
        split = self.table["official"].replace("", "all")
        counts = {
            name: {"images_promised": int(rows.sum()), "images_found": int((rows & found).sum())}
            for name in dict.fromkeys(sorted(split, reverse=True))
            for rows in [split == name]
        }
        return {
            "collection": asdict(self.facts),
            "download": counts,
            "headers": self.headers,
        }

    def report_gaps(self) -> Iterator[Note]:
        """Report how the folders were interpreted, and what is missing from a partial download."""
        yield from (Note(f"{found.subject} {found.words}") for found in self.notices if found.kind == "note")
        if lost := int((self.table["source"] == "").sum()):
            yield Note(
                f"{lost} of {len(self.table)} {self.what} are missing or incomplete: results on the rest are less "
                "reliable",
                "warning",
            )

    def format_table(self, downloads: Sequence[Path]) -> str:
        """Format all images as CSV, with the paths of files relative to the downloads."""
        root = os.path.commonpath(downloads) + os.sep
        table = self.table.drop(columns=["masks", "scan"])
        table = table.assign(source=table["source"].map(lambda file: make_printable(file.removeprefix(root))))
        return format_table(table.rename(columns={"official": "official_split"}))

    def list_series_to_fetch(self) -> list[str]:
        """Return the UIDs of the missing series, if they are known."""
        return []

    # What the invariants compare a plan with. They do not read the table where the collection has an earlier one.

    def list_test_patients(self) -> set[str]:
        return set(self.table.loc[self.table["official"] == "test", "patient_id"])

    def list_malignant_images(self) -> set[str]:
        return set(self.table.loc[self.table["label"] == "malignant", "image_id"])

    def list_images(self) -> set[str]:
        return set(self.table["image_id"])

    def list_lesion_files(self) -> dict[str, set[str]]:
        """Return the files that must be masks, and those that must be crops."""
        outlines = (mask.outline for masks in self.table["masks"] for mask in masks)
        return {"mask": {str(outline.path) for outline in outlines if isinstance(outline, MaskFile)}}


def make_image_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    # As objects, because strings of pandas cannot hold the undecodable bytes of some file names.
    table = pd.DataFrame(rows, columns=list(IMAGE_COLUMNS), dtype=object).sort_values("image_id", ignore_index=True)
    return table.astype(dict.fromkeys(_SCALES, "Int64") | dict.fromkeys(_COUNTS, "int64"))


def find_kinds(images: pd.DataFrame) -> list[str]:
    return [kind for kind in KINDS if images["kind"].str.contains(kind).any()]
