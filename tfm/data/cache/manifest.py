"""What a finished cache was made of, whether it is intact, and whether it has the needed rows.
A cache is made in `build` and read in `cache`."""

from __future__ import annotations

import contextlib
import hashlib
from collections import ChainMap
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from tfm.core import files, hints
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.core.settings.messages import describe_problem
from tfm.data.cache.arrays import ARRAYS, array_file
from tfm.data.cache.cache import INDEX, SETTINGS
from tfm.data.cache.row_sources import Facts, ImageFolder, RowSource, read_sources, row_key
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.settings import ChainSettings

SUMS, SOURCES = "sums.json", "sources.json"


def describe_settings(chain: ChainSettings, version: int) -> dict[str, Any]:
    """Return the content of settings.yaml. Steps are pairs: in another order the same steps make other images."""
    values = chain.model_dump(mode="json")
    return {"version": version, **values, "steps": [[name, step] for name, step in values["steps"].items()]}


def read_chain(cache: Path, version: int) -> ChainSettings:
    """Return the steps that made a cache, to make other images in the same way."""
    return parse_chain(files.read_yaml(cache / SETTINGS), cache.name, version)


def parse_chain(settings: dict[str, Any], cache: str, version: int) -> ChainSettings:
    """Return the steps that a cache's settings describe."""
    again = "preprocess its dataset again, and use the cache that results"
    if settings.get("version") != version:
        raise DataError(
            f"the cache {cache} was made by another version of the program, which makes other images", hint=again
        )
    try:
        return ChainSettings(frame=settings["frame"], steps=dict(settings["steps"]))
    except ValidationError as error:
        problem = describe_problem(error.errors()[0])
        raise DataError(f"the steps of the cache {cache} cannot be repeated: {problem}", hint=again) from None


@dataclass(frozen=True)
class CacheManifest:
    folder: Path
    version: int
    settings: dict[str, Any]  # with the version
    dataset: str  # the owner: the next preprocess of that dataset may replace the cache
    facts: dict[str, Facts]  # image_id → facts of its source, in row order

    @classmethod
    def read(cls, folder: Path) -> CacheManifest | None:
        """Return None if the cache is unfinished or damaged: one bad cache must not block the use of others."""
        if not (folder / INDEX).is_file():
            return None
        try:
            settings, sources = files.read_yaml(folder / SETTINGS), files.read_json(folder / SOURCES)
            facts = {
                name: Facts(sop_uid=one["sop_uid"], film=one["film"], mask=one["mask"])
                for name, one in sources["images"].items()
            }
            return cls(folder, int(settings["version"]), settings, sources["dataset"], facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def find_rows(self, sources: Sequence[RowSource]) -> dict[int, int]:
        """Map the position of each source whose row is in this cache to that row."""
        row_of = {name: row for row, name in enumerate(self.facts)}
        keys = ((row_key(source.facts), row_key(self.facts.get(source.image_id))) for source in sources)
        return {n: row_of[sources[n].image_id] for n, (needed, own) in enumerate(keys) if needed and needed == own}

    def has_all(self, sources: Sequence[RowSource]) -> bool:
        return len(self.find_rows(sources)) == len(sources)

    def is_up_to_date(self, images: ImageFolder, sources: Sequence[RowSource]) -> bool:
        """Whether the cache has the needed rows. A dataset's own cache has no others; that of another dataset may."""
        exact = len(self.facts) == len(sources)
        return self.has_all(sources) and (exact or self.dataset != images.folder.name)

    def check_files(self) -> Generator[Event, None, bool]:
        """Return whether arrays and index are byte for byte as they were written."""
        try:
            recorded, index = files.read_json(self.folder / SUMS), (self.folder / INDEX).read_bytes()
            sums = yield from _sum_arrays(self.folder, len(self.facts))
        except (OSError, ValueError):
            return False
        return bool(recorded == {**sums, "index": hashlib.sha256(index).hexdigest()})

    def read_records(self) -> list[str]:
        """Return the preprocessing record of each row, as JSON."""
        return list(pd.read_csv(self.folder / INDEX, dtype=str)["record"])


def _sum_arrays(folder: Path, count: int) -> Generator[Event, None, dict[str, str]]:
    """Return the SHA-256 of each array, read in `count` parts with an event after each."""
    digests = {name: hashlib.sha256() for name in ARRAYS}
    with contextlib.ExitStack() as opened:
        arrays = {name: opened.enter_context(open(array_file(folder, name), "rb")) for name in ARRAYS}
        parts = {name: -(-array_file(folder, name).stat().st_size // count) for name in ARRAYS}
        for number in range(count):
            for name, file in arrays.items():
                digests[name].update(file.read(parts[name]))
            yield Progress("checked", number + 1, count, "images")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def find_cache(
    folders: Iterable[Path], dataset: Dataset, chain: ChainSettings, version: int
) -> Generator[Event, None, str | None]:
    """Return the first cache that has all images of a dataset, made by the same chain.

    The split and the folds do not matter. Checksums are computed only for a cache that has all rows.
    """
    settings = describe_settings(chain, version)
    manifests = [one for one in map(CacheManifest.read, folders) if one is not None and one.settings == settings]
    if not manifests:
        return None
    sources = yield from read_sources(dataset, ChainMap(*(one.facts for one in manifests)))
    for manifest in manifests:
        if manifest.has_all(sources) and (yield from manifest.check_files()):
            return manifest.folder.name
    return None


def refuse_replacing(folder: Path, images: ImageFolder, chain: ChainSettings, version: int) -> None:
    """Refuse to replace a cache of another dataset or of other steps: models may be training from it.

    A cache of an older version may be replaced whatever its settings, since their names may have changed.
    """
    if not (folder / INDEX).is_file():
        return
    manifest = CacheManifest.read(folder)
    if manifest is None:
        raise DataError(
            f"the cache {folder.name} exists already, and is so damaged that its dataset is unknown",
            hint=f"remove {folder}, or give this one another name: {hints.setting('cache', 'NAME')}",
        )
    same_settings = manifest.version < version or manifest.settings == describe_settings(chain, version)
    if manifest.dataset != images.folder.name or not same_settings:
        raise DataError(
            f"a cache called {folder.name} exists already, of another dataset or made with other settings",
            hint=f"give this one another name: {hints.setting('cache', 'NAME')}",
        )
