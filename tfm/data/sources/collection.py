"""What a collection is to `organize`: how it is recognised, what is asked about it, and how its images are read.

Each collection has one file here, and an entry in `known_collections`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from tfm.core.events import Event, Table
from tfm.core.file_walk import FoundFile, walk_files
from tfm.core.registry import InspectionResult
from tfm.data.dataset.audit import PART_COLUMN
from tfm.data.dataset.dataset import LABELS
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.download.find_files import make_printable
from tfm.data.download.notices import Notice


@dataclass(frozen=True)
class ReadingOptions:
    """The settings of `organize` that only some collections have."""

    lesions: Literal["mass", "calc", "both"] = "both"
    images: Literal["full", "crops"] = "full"
    without_callback: Literal["benign", "left out"] = "benign"
    without_finding: Literal["benign", "left out"] = "benign"
    patient_from: str = ""
    verified_by: Literal["unknown", "biopsy", "BI-RADS", "follow-up"] = "unknown"


@dataclass(frozen=True)
class Listing:
    """The files of a download, before anything is known about its collection."""

    given: tuple[Path, ...]  # folders, or text files that list DICOM files
    csv: tuple[Path, ...]  # tables that are not in the download, or folders with them
    index: Path  # the cache of headers

    @cached_property
    def found(self) -> tuple[FoundFile, ...]:
        """Every file below the given folders, by path."""
        places = [path for path in (*self.given, *self.csv) if path.is_dir()]
        files = {file.path: file for file in walk_files(places) if not Path(file.path).name.startswith(".")}
        return tuple(files[path] for path in sorted(files))

    @cached_property
    def readable(self) -> tuple[FoundFile, ...]:
        return tuple(file for file in self.found if not file.problem)

    def list_tables(self, *endings: str) -> list[Path]:
        """List the files with these endings: those of `csv` if there are any, then those of the download."""
        named = [path.resolve() for path in self.csv if path.is_file()]
        below = [Path(file.path) for file in self.readable]
        return [path for path in (*named, *below) if path.suffix.lower() in endings]

    @cached_property
    def _by_path(self) -> dict[str, FoundFile]:
        return {file.path: file for file in self.readable}

    @cached_property
    def _roots(self) -> tuple[str, ...]:
        return tuple(os.path.realpath(path) for path in (*self.given, *self.csv) if path.is_dir())

    def find_file(self, name: str, *folders: Path) -> FoundFile | None:
        """Find a file by its path below one of `folders` or of the given folders."""
        relative = name.replace("\\", "/")
        places = [*(os.path.realpath(folder) for folder in folders), *self._roots]
        paths = (os.path.normpath(Path(place) / relative) for place in places)
        return next((self._by_path[path] for path in paths if path in self._by_path), None)

    def locate(self, path: str) -> str:
        """Return the path of a file below the given folder that holds it."""
        root = next((root for root in self._roots if path.startswith(root + os.sep)), "")
        return make_printable(path.removeprefix(root + os.sep))

    def report_unreadable(self) -> list[Notice]:
        return [Notice("unreadable", make_printable(file.path), file.problem) for file in self.found if file.problem]


class Collection(ABC):
    facts: ClassVar[CollectionFacts]
    table: ClassVar[str]  # how to recognise it, for people

    @abstractmethod
    def recognises(self, listing: Listing) -> bool:
        """Whether the download seems to be of this collection, by names of files and columns."""

    @abstractmethod
    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        """Read the tables and headers. Pixels are not read."""

    def list_sources(self, listing: Listing) -> tuple[Path, ...]:
        """Return the folders and files that are read."""
        return listing.given

    def inspect(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, InspectionResult]:
        """Show what the download has, and settle the questions that it answers."""
        images = yield from self.read(listing, options)
        yield from show_images(images)
        fixed: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        if not images.has_test_images():
            fixed["split"], reasons["split"] = "random", "the download has no published test images"
        return InspectionResult(fixed=fixed, choices={name: [value] for name, value in fixed.items()}, reasons=reasons)


def show_images(images: SourceImages) -> Generator[Event, None, None]:
    table, facts = images.table, images.facts
    usable = (table["source"] != "") & (table["excluded"] == "")
    split = table["official"].replace("", "all")
    rows = [
        [name, *(str(count) for count in (part["patient_id"].nunique(), len(part), *counts, len(part) - sum(counts)))]
        for name in sorted(set(split), reverse=True)
        for part in [table[split == name]]
        for counts in [[int(((part["label"] == label) & usable.loc[part.index]).sum()) for label in LABELS]]
    ]
    headings = [PART_COLUMN, "patients", "images", *LABELS, "left out"]
    yield Table(f"Found: {facts.title}", headings, rows, f"What the labels mean: {facts.labels}.")
    yield from images.report_gaps()
