"""A small dataset and caches made of it, in one call each."""

import contextlib
import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.events import Event, Progress
from tfm.core.settings import presets
from tfm.core.settings.resolve import resolve
from tfm.data.cache.build import build_cache
from tfm.data.cache.manifest import find_cache
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.settings import ChainSettings

FAST = presets.load_preset("preprocess", "fast").settings
PUBLIC = ("images.npy", "breast.npy", "lesions.npy", "index.csv", "settings.yaml", "sums.json")


def chain(**given: object) -> ChainSettings:
    return resolve(ChainSettings, FAST, {"resize.height": 64, "resize.width": 64} | given)


def small_download(home: Path) -> Path:
    phantom_download(home / "download", 8, 4, seed=1)
    return home / "download"


def dataset_of(download: Path, folder: Path, **other: Any) -> Dataset:
    """Organize a download anew: 24 images."""
    joined = read_catalog(download, index=folder.with_name("headers.sqlite"))
    arranged = plan_catalog(joined, **({"val_share": 0.25, "seed": 0} | other))
    for _ in write_dataset(folder, arranged, download):
        pass
    return Dataset.open(folder)


def track_build(
    folder: Path, dataset: Dataset, settings: ChainSettings, **other: Any
) -> Generator[tuple[int, int], None, None]:
    """Build and yield (images done, images in all) at each report."""
    folder.mkdir(parents=True, exist_ok=True)
    events = build_cache(folder, dataset, settings, **({"version": 1, "workers": 1} | other))
    with contextlib.closing(events):  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Progress) and event.name == "images":
                yield event.done, event.total


def build(
    folder: Path, dataset: Dataset, settings: ChainSettings, *, stop_after: int | None = None, **other: Any
) -> None:
    progress = track_build(folder, dataset, settings, **other)
    for done, _ in progress:
        if done == stop_after:
            progress.close()
            return


def search(
    folders: Sequence[Path], dataset: Dataset, settings: ChainSettings, version: int = 1
) -> tuple[str | None, list[Event]]:
    """The cache that has all images, and the events of the search."""
    events: list[Event] = []
    found = find_cache(folders, dataset, settings, version)
    while True:
        try:
            events.append(next(found))
        except StopIteration as end:
            return end.value, events


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a finished build, and there must be no others; sources.json holds times: it is not compared."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert found.pop("sources.json")
    assert sorted(found) == sorted(PUBLIC)
    return found


def touch(path: Path, *, later: int = 1) -> None:
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later * 10**9))


def film(dataset: Dataset, row: int) -> Path:
    """The image file of a row of the cache."""
    return dataset.path(dataset.manifest.sort_values("image_id")["file"].iloc[row])


def mask(dataset: Dataset, row: int) -> Path:
    return dataset.path(dataset.manifest.sort_values("image_id")["mask"].iloc[row])


def without(dataset: Dataset, *rows: int) -> Dataset:
    manifest = dataset.manifest.sort_values("image_id", ignore_index=True)
    return replace(dataset, manifest=manifest.drop(index=list(rows)))


def unfinished_rows(folder: Path) -> list[Path]:
    """The rows that an unfinished build has made."""
    return sorted((folder / ".building").glob("*.row"))


def spoil(path: Path) -> None:
    """Make a file unreadable, with its size and time unchanged: reading it fails."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
