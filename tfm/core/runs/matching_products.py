"""Datasets and caches: which belong together, because they have images in common, and which to train on first."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

from tfm.core.runs.workspace import PRODUCT_FILES, Workspace

Identity = tuple[str, str]  # of an image: its name and the UID in its header

PARTNERS = {"dataset": "cache", "cache": "dataset"}


def select_matching(workspace: Workspace, kind: str, partner: str | None) -> list[str]:
    """List the datasets that belong to the cache `partner`, or the caches of the dataset `partner`; all without one.

    A product that cannot be read is listed: whoever opens it says why.
    """
    names = workspace.list_products(kind)
    images = _read_images(workspace, PARTNERS[kind], partner) if partner else None
    return [name for name in names if _have_common(images, _read_images(workspace, kind, name))] if images else names


def list_newest(workspace: Workspace, kind: str) -> list[str]:
    """List datasets or caches, the newest first. Last come those of external tests, on which nobody trains."""
    names = sorted(workspace.list_products(kind), key=lambda name: _read_time(workspace, kind, name), reverse=True)
    tested = {file.stem.rpartition("-")[0] for file in workspace.external_folder.glob("*/*.csv")}
    if not tested:
        return names
    return sorted(names, key=lambda name: tested.issuperset(_list_datasets(workspace, kind, name)))


def _list_datasets(workspace: Workspace, kind: str, name: str) -> list[str]:
    return [name] if kind == "dataset" else select_matching(workspace, "dataset", name)


def _read_time(workspace: Workspace, kind: str, name: str) -> int:
    file = workspace.product_folder(kind, name) / PRODUCT_FILES[kind][0]
    return file.stat().st_mtime_ns if file.exists() else 0


def _have_common(images: frozenset[Identity], others: frozenset[Identity] | None) -> bool:
    return others is None or not images.isdisjoint(others)


def _read_images(workspace: Workspace, kind: str, name: str) -> frozenset[Identity] | None:
    file = workspace.product_folder(kind, name) / PRODUCT_FILES[kind][0]
    try:
        status = file.stat()
        return _read_table(file, status.st_size, status.st_mtime_ns) or None
    except (OSError, ValueError, KeyError, csv.Error):
        return None


@functools.lru_cache(maxsize=64)
def _read_table(file: Path, *_stamp: int) -> frozenset[Identity]:
    """Kept, because each row of a form and each model of a list asks for its inputs."""
    with file.open(newline="", encoding="utf-8") as table:
        return frozenset((row["image_id"], row["sop_uid"]) for row in csv.DictReader(table))
