"""What only the pixels can tell of a dataset: one picture under two names. Known once a cache was made of it, and laid
beside the audit, which the organizing wrote without reading a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfm.core import files
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset

_REPORT = "audit-pixels.md"


@dataclass(frozen=True)
class DuplicateImages:
    """Images with the very same pixels, each with its split."""

    images: list[str]
    splits: list[str]

    @property
    def is_leak(self) -> bool:
        return len(set(self.splits)) > 1


def find_duplicates(dataset: Dataset, cache: Cache) -> list[DuplicateImages]:
    splits = dict(zip(dataset.manifest["image_id"], dataset.manifest["split"], strict=True))
    return [DuplicateImages(names, [splits[name] for name in names]) for names in cache.find_same_pixels(splits)]


def write_report(dataset: Dataset, twins: Sequence[DuplicateImages]) -> Path:
    leaks = sum(pair.is_leak for pair in twins)
    rows = [f"| {', '.join(pair.images)} | {', '.join(pair.splits)} |" for pair in twins]
    parts = [
        "# Audit of the pixels",
        f"The pixels of {len(dataset.manifest)} images were compared. Split hash: `{dataset.split_hash[:16]}`.",
        f"Pictures under several names: **{len(twins)}**, of them in more than one split: **{leaks}**.",
        *(["\n".join(["| images | splits |", "|---|---|", *rows])] if rows else []),
    ]
    path = dataset.folder / _REPORT
    files.write_text(path, "\n\n".join(parts) + "\n")
    return path
