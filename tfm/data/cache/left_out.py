"""Build a cache of the images that can be preprocessed, and remember in its folder why the others cannot.
One bad file then costs one image. What was left out is tried again when the file, its mask or the steps change."""

from __future__ import annotations

from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any, Protocol, Self

import pandas as pd

from tfm.core import files
from tfm.core.events import Event
from tfm.data.cache.build import FailedImages, Workers, build_cache
from tfm.data.cache.cache import LEFT_OUT
from tfm.data.cache.manifest import describe_settings
from tfm.data.cache.row_maker import PixelCheck
from tfm.imaging.settings import ChainSettings

Reasons = dict[str, str]  # image_id → the reason why it is left out


class ExcludableImages(Protocol):
    @property
    def folder(self) -> Path: ...

    @property
    def manifest(self) -> pd.DataFrame: ...

    def path(self, relative: str) -> Path: ...

    def exclude(self, names: Collection[str]) -> Self: ...


def build_cache_without_bad_images(
    folder: Path,
    images: ExcludableImages,
    chain: ChainSettings,
    *,
    version: int,
    workers: Workers = "auto",
    check: PixelCheck | None = None,
) -> Generator[Event, None, Reasons]:
    """Build the cache as `build_cache` does, but leave out images that can never be preprocessed; return the reasons.

    Raises the error of `build_cache` if no image is left, or if another try may succeed.
    """
    settings = describe_settings(chain, version)
    left_out = _read_unchanged(folder, images, settings)
    while True:
        try:
            used = images.exclude(left_out)
            yield from build_cache(folder, used, chain, version=version, workers=workers, check=check)
        except FailedImages as error:
            failed = {source.image_id: one for source, one in error.failures}
            is_permanent = all(one.permanent and not one.traceback for one in failed.values())
            if len(failed) == len(used.manifest) or not is_permanent:
                raise
            film = {source.image_id: source.film for source, _ in error.failures}
            left_out |= {name: one.message.removeprefix(f"{film[name]}: ") for name, one in failed.items()}
            states = _read_states(images)
            entries = {name: [states[name], reason] for name, reason in sorted(left_out.items())}
            files.write_json(folder / LEFT_OUT, {"settings": settings, "images": entries})
        else:
            if not left_out:
                (folder / LEFT_OUT).unlink(missing_ok=True)
            return left_out


def _read_unchanged(folder: Path, images: ExcludableImages, settings: dict[str, Any]) -> Reasons:
    """Return what was left out before, if its files and the steps are the same."""
    kept = files.read_json(folder / LEFT_OUT) if (folder / LEFT_OUT).is_file() else {}
    if kept.get("settings") != settings:
        return {}
    states = _read_states(images)
    return {name: reason for name, (state, reason) in kept["images"].items() if states.get(name) == state}


def _read_states(images: ExcludableImages) -> dict[str, list[int]]:
    """Map each image_id to size and time of its file and of its mask."""
    rows = images.manifest[["image_id", "file", "mask"]].itertuples(index=False, name=None)
    return {name: [*_read_state(images, file), *_read_state(images, mask)] for name, file, mask in rows}


def _read_state(images: ExcludableImages, relative: str) -> list[int]:
    try:
        status = images.path(relative).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns] if relative else []
