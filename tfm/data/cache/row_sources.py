"""The source files of a cache's rows, image and mask, and the facts (size, time, hash) that reveal a change.
Equal facts mean equal rows. They depend neither on the dataset nor on its splits or folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import pandas as pd

from tfm.core.events import Event, Progress


class ImageFolder(Protocol):
    """A dataset, or any other folder of named images."""

    @property
    def folder(self) -> Path: ...

    @property
    def manifest(self) -> pd.DataFrame: ...  # image_id, sop_uid, file, mask ("" if there is none)

    def path(self, relative: str) -> Path: ...


class Facts(TypedDict):
    """As written to sources.json."""

    sop_uid: str
    film: list[int] | None  # size and modification time; None if the file does not exist
    mask: list[Any] | None  # size, modification time and hash: every dataset draws its masks again, at another time


@dataclass(frozen=True)
class RowSource:
    image_id: str
    film: Path
    mask: Path | None
    facts: Facts


def row_key(facts: Facts | None, *more: object) -> str:
    """Hash everything that a row is made of, `more` included; "" if its image does not exist."""
    if facts is None or facts["film"] is None:
        return ""
    mask_hash = facts["mask"][2] if facts["mask"] else ""
    made_of = json.dumps([facts["sop_uid"], facts["film"], mask_hash, *more])
    return hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()


def read_sources(images: ImageFolder, known: Mapping[str, Facts]) -> Generator[Event, None, list[RowSource]]:
    """Read the sources in the order of image_id, which no split changes. A `known` mask is not read again."""
    rows = images.manifest.sort_values("image_id")[["image_id", "sop_uid", "file", "mask"]].astype(str)
    sources: list[RowSource] = []
    for image_id, sop_uid, file, mask in rows.itertuples(index=False, name=None):
        film, mask_file = images.path(file), images.path(mask) if mask else None
        before = known.get(image_id)
        mask_facts = _read_mask_facts(mask_file, before["mask"] if before else None) if mask_file else None
        facts: Facts = {"sop_uid": sop_uid, "film": _read_size_and_time(film), "mask": mask_facts}
        sources.append(RowSource(image_id, film, mask_file, facts))
        yield Progress("compared", len(sources), len(rows), "images")
    return sources


def _read_mask_facts(mask: Path, known: list[Any] | None) -> list[Any]:
    current = _read_size_and_time(mask)
    if current is None:
        return [0, 0, "gone"]
    if known and known[:2] == current:
        return known
    return [*current, hashlib.blake2b(mask.read_bytes(), digest_size=16).hexdigest()]


def _read_size_and_time(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:  # preprocessing this image will report it
        return None
    return [status.st_size, status.st_mtime_ns]
