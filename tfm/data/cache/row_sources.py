"""What the rows of a cache are made of: images of a dataset, and what a look at their files tells.
Equal facts mean equal rows; they never name the dataset, its splits or its folders."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import pandas as pd

from tfm.core.events import Event, Progress


class Films(Protocol):
    """A dataset, or whatever else has images with names."""

    @property
    def folder(self) -> Path: ...

    @property
    def manifest(self) -> pd.DataFrame: ...  # image_id, sop_uid, file, mask ("" where there is none)

    def path(self, relative: str) -> Path: ...


class Facts(TypedDict):
    """As JSON carries them."""

    sop_uid: str
    film: list[int] | None  # size and time of change; None where there is no such file
    mask: list[Any] | None  # size, time of change, and hash: each dataset draws its own masks, at another time


@dataclass(frozen=True)
class Source:
    image_id: str
    film: Path
    mask: Path | None
    facts: Facts


def same(facts: Facts | None, others: Facts | None) -> bool:
    """Whether a row made of the one is a row made of the other."""
    if facts is None or others is None or facts["film"] is None:
        return False
    return (facts["sop_uid"], facts["film"], _hash_of(facts)) == (others["sop_uid"], others["film"], _hash_of(others))


def sources_of(films: Films, known: Mapping[str, Facts]) -> Generator[Event, None, list[Source]]:
    """In the order of image_id, which no split changes. Masks already known need not be read to be compared."""
    images = films.manifest.sort_values("image_id")[["image_id", "sop_uid", "file", "mask"]]
    found: list[Source] = []
    for row in images.itertuples(index=False, name=None):
        found.append(_source(films, known, *map(str, row)))
        yield Progress("compared", len(found), len(images), "images")
    return found


def _source(films: Films, known: Mapping[str, Facts], image_id: str, sop_uid: str, file: str, mask: str) -> Source:
    film, mask_file = films.path(file), films.path(mask) if mask else None
    before = known.get(image_id)
    mask_facts = _mask_facts(mask_file, before["mask"] if before else None) if mask_file else None
    return Source(image_id, film, mask_file, {"sop_uid": sop_uid, "film": _size_and_time(film), "mask": mask_facts})


def _mask_facts(mask: Path, known: list[Any] | None) -> list[Any] | None:
    seen = _size_and_time(mask)
    if seen is None:
        return [0, 0, "gone"]
    if known and known[:2] == seen:
        return known
    return [*seen, hashlib.blake2b(mask.read_bytes(), digest_size=16).hexdigest()]


def _hash_of(facts: Facts) -> str:
    return facts["mask"][2] if facts["mask"] else ""


def _size_and_time(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:  # its row will say so, in words
        return None
    return [found.st_size, found.st_mtime_ns]
