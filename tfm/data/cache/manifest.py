"""A finished cache that stands in its folder: what it was made with and of, and for whom it serves.
How one comes about is in caching, how it is read in cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import ChainMap
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.data.cache.arrays import ARRAYS, array_file
from tfm.data.cache.cache import INDEX, SETTINGS
from tfm.data.cache.row_sources import Facts, Films, Source, same, sources_of
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.settings import ChainSettings

SUMS, SOURCES = "sums.json", "sources.json"


def settings_of(chain: ChainSettings, version: int) -> dict[str, Any]:
    """Steps as pairs: in another order the same steps make other images."""
    values = chain.model_dump(mode="json")
    return {"version": version, **values, "steps": [[name, step] for name, step in values["steps"].items()]}


def chain_of(cache: Path, version: int) -> ChainSettings:
    """The steps by which a cache was made, for others to be made by the same code."""
    settings = files.read_yaml(cache / SETTINGS)
    if settings.get("version") != version:
        raise DataError(
            f"the cache {cache.name} was made by another version of the program: by its steps nothing alike is made",
            hint="preprocess its dataset again, and learn from the cache that comes of it",
        )
    return ChainSettings(frame=settings["frame"], steps=dict(settings["steps"]))


@dataclass(frozen=True)
class Standing:
    folder: Path
    version: int
    settings: dict[str, Any]  # the version among them
    dataset: str  # whose it is: that dataset's next preprocess may replace it
    facts: dict[str, Facts]  # image_id → what its row was made of, in the order of the rows

    @classmethod
    def read(cls, folder: Path) -> Standing | None:
        """None where there is no index, or what belongs to it is gone or damaged: one bad cache must not keep anybody
        from the others."""
        if not (folder / INDEX).is_file():
            return None
        try:
            settings, made_of = files.read_yaml(folder / SETTINGS), files.read_json(folder / SOURCES)
            facts = {
                name: Facts(sop_uid=one["sop_uid"], film=one["film"], mask=one["mask"])
                for name, one in made_of["images"].items()
            }
            return cls(folder, int(settings["version"]), settings, made_of["dataset"], facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            return None

    def holds(self, sources: Sequence[Source]) -> bool:
        return all(same(source.facts, self.facts.get(source.image_id)) for source in sources)

    def serves(self, films: Films, sources: Sequence[Source]) -> bool:
        """Another dataset's cache may hold more than is needed; a dataset's own holds its images and no others."""
        exact = len(self.facts) == len(sources)
        return self.holds(sources) and (exact or self.dataset != films.folder.name)

    def is_whole(self) -> Generator[Event, None, bool]:
        """Whether arrays and index are, byte for byte, what was made."""
        try:
            recorded, index = files.read_json(self.folder / SUMS), (self.folder / INDEX).read_bytes()
            found = yield from sums(self.folder, len(self.facts), index)
        except (OSError, ValueError):
            return False
        return bool(recorded == found)

    def records(self) -> list[dict[str, Any]]:
        """What the chain recorded of each row."""
        return [json.loads(record) for record in pd.read_csv(self.folder / INDEX, dtype=str)["record"]]


def sums(folder: Path, count: int, index: bytes) -> Generator[Event, None, dict[str, str]]:
    """Of the arrays and the index of so many images, in as many parts: all at once would be minutes without a word."""
    digests = {name: hashlib.sha256() for name in ARRAYS}
    with contextlib.ExitStack() as opened:
        arrays = {name: opened.enter_context(open(array_file(folder, name), "rb")) for name in ARRAYS}
        parts = {name: -(-array_file(folder, name).stat().st_size // count) for name in ARRAYS}
        for number in range(count):
            for name, file in arrays.items():
                digests[name].update(file.read(parts[name]))
            yield Progress("checked", number + 1, count, "images")
    return {name: digest.hexdigest() for name, digest in {**digests, "index": hashlib.sha256(index)}.items()}


def find_standing(
    folders: Iterable[Path], dataset: Dataset, chain: ChainSettings, version: int
) -> Generator[Event, None, str | None]:
    """The first cache that already holds, made by this very chain, all images of the dataset: those of the same films
    in another split or other folds are the same images. Only one that does is read through."""
    settings = settings_of(chain, version)
    alike = [one for one in map(Standing.read, folders) if one is not None and one.settings == settings]
    if not alike:
        return None
    sources = yield from sources_of(dataset, ChainMap(*(one.facts for one in alike)))
    for standing in alike:
        if standing.holds(sources) and (yield from standing.is_whole()):
            return standing.folder.name
    return None


def refuse_replacing(folder: Path, films: Films, chain: ChainSettings, version: int) -> None:
    """A cache of another dataset, or made by other steps, stays: models may be training from it. What an older version
    made is made anew, whatever its settings were called."""
    if not (folder / INDEX).is_file():
        return
    standing = Standing.read(folder)
    if standing is None:
        raise DataError(
            f"there is a cache called {folder.name} already, damaged so that nobody can tell whose it is",
            hint=f"remove {folder}, or give this one a name of its own: --cache NAME",
        )
    same_settings = standing.version < version or standing.settings == settings_of(chain, version)
    if standing.dataset != films.folder.name or not same_settings:
        raise DataError(
            f"there is a cache called {folder.name} already, of another dataset or made with other settings",
            hint="give this one a name of its own: --cache NAME",
        )
