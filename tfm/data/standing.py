"""A finished cache that stands in its folder: what it was made with and of, and for whom it serves.
How one comes about is in caching, how it is read in cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tfm.core import files
from tfm.core.errors import DataError
from tfm.data.arrays import ARRAYS, array_file
from tfm.data.cache import INDEX, SETTINGS
from tfm.data.dataset import Dataset
from tfm.data.sources import Facts, Source, same, sources_of
from tfm.imaging.settings import ChainSettings

SUMS, SOURCES = "sums.json", "sources.json"


def settings_of(chain: ChainSettings, version: int) -> dict[str, Any]:
    """Steps as pairs: in another order the same steps make other images."""
    values = chain.model_dump(mode="json")
    return {"version": version, **values, "steps": [[name, step] for name, step in values["steps"].items()]}


@dataclass(frozen=True)
class Standing:
    folder: Path
    settings: dict[str, Any]
    dataset: str  # whose it is: that dataset's next preprocess may replace it
    facts: dict[str, Facts]  # image_id → what its row was made of, in the order of the rows

    @classmethod
    def read(cls, folder: Path) -> Standing | None:
        try:
            settings, sources = files.read_yaml(folder / SETTINGS), files.read_json(folder / SOURCES)
        except FileNotFoundError:
            return None
        return cls(folder, settings, sources["dataset"], sources["images"]) if (folder / INDEX).is_file() else None

    def holds(self, sources: Sequence[Source]) -> bool:
        return all(same(source.facts, self.facts.get(source.image_id)) for source in sources)

    def serves(self, dataset: Dataset, sources: Sequence[Source]) -> bool:
        """Another dataset's cache may hold more than is needed; a dataset's own holds its images and no others."""
        exact = len(self.facts) == len(sources)
        return self.holds(sources) and (exact or self.dataset != dataset.folder.name)

    def is_whole(self) -> bool:
        """Whether the arrays are, byte for byte, what was made."""
        try:
            return bool(files.read_json(self.folder / SUMS) == sums(self.folder))
        except FileNotFoundError:
            return False

    def records(self) -> list[dict[str, Any]]:
        """What the chain recorded of each row."""
        return [json.loads(record) for record in pd.read_csv(self.folder / INDEX, dtype=str)["record"]]


def sums(folder: Path) -> dict[str, str]:
    return {name: files.sha256(array_file(folder, name)) for name in ARRAYS}


def find_standing(folders: Iterable[Path], dataset: Dataset, chain: ChainSettings, version: int) -> str | None:
    """The first cache that already holds, made by this very chain, all images of the dataset: those of the same films
    in another split or other folds are the same images."""
    for folder in folders:
        standing = Standing.read(folder)
        if standing is None or standing.settings != settings_of(chain, version):
            continue
        if standing.holds(sources_of(dataset, standing.facts)) and standing.is_whole():
            return folder.name
    return None


def refuse_replacing(folder: Path, dataset: Dataset, chain: ChainSettings) -> None:
    """A cache of another dataset, or made by other steps, stays: models may be training from it."""
    if not (folder / INDEX).is_file():
        return
    standing = Standing.read(folder)
    ours = standing and settings_of(chain, standing.settings["version"])  # what an older version made is made anew
    if standing is None or standing.dataset != dataset.folder.name or standing.settings != ours:
        raise DataError(
            f"there is a cache called {folder.name} already, of another dataset or made with other settings",
            hint="give this one a name of its own: --cache NAME",
        )
