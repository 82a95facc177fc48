"""Find images of a dataset with identical pixels, from its cache, and write a report beside the audit.
`organize` compares files; this also finds identical pixels in files that are encoded differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfm.core import files
from tfm.core.escape_text import escape_markdown
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset


@dataclass(frozen=True)
class DuplicateImages:
    """Images with identical pixels, and the split of each."""

    images: list[str]
    splits: list[str]

    @property
    def is_leak(self) -> bool:
        return len(set(self.splits)) > 1


def find_duplicates(dataset: Dataset, cache: Cache) -> list[DuplicateImages]:
    splits = dict(zip(dataset.manifest["image_id"], dataset.manifest["split"], strict=True))
    return [DuplicateImages(names, [splits[name] for name in names]) for names in cache.find_same_pixels(splits)]


def write_report(dataset: Dataset, duplicates: Sequence[DuplicateImages]) -> Path:
    leaks = sum(one.is_leak for one in duplicates)
    rows = [f"| {escape_markdown(', '.join(one.images))} | {', '.join(one.splits)} |" for one in duplicates]
    parts = [
        "# Audit of the pixels",
        f"The pixels of {len(dataset.manifest)} images were compared. Split hash: `{dataset.split_hash[:16]}`.",
        f"Groups of images with identical pixels: **{len(duplicates)}**; in more than one split: **{leaks}**.",
        *(["\n".join(["| images | splits |", "|---|---|", *rows])] if rows else []),
    ]
    path = dataset.folder / "audit-pixels.md"
    files.write_text(path, "\n\n".join(parts) + "\n")
    return path
