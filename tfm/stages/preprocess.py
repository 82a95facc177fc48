"""Turn the films into training images, once

Breast found, labels and film border gone, all breasts facing one way, cropped and resized by the steps of a preset.
The result is a cache: arrays on disk that every model trains from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.randomness import seed_at
from tfm.core.registry import stage
from tfm.core.run import Run
from tfm.core.settings import DatasetName, ProductName, Settings, resolve
from tfm.imaging.settings import ChainSettings

if TYPE_CHECKING:
    from tfm.data.cache import Cache
    from tfm.data.dataset import Dataset


class Preprocess(Settings):
    dataset: DatasetName
    """Which dataset?"""

    cache: ProductName | None = None
    """What should the cache be called?
    Empty: after its dataset and preset, with a few letters more where a step's settings aren't the preset's."""

    chain: ChainSettings


def _name(settings: Preprocess, run: Run) -> str:
    """Other steps never end in the same cache."""
    preset = run.workspace.preset("preprocess", run.preset or "")
    steps = settings.chain.model_dump_json()
    same = steps == resolve(ChainSettings, preset.settings, {}).model_dump_json()
    own = "" if same else f"-{seed_at(steps):016x}"[:5]
    return f"{settings.dataset}-{preset.name}{own}"


def _told_twice(cache: Cache, dataset: Dataset) -> Iterator[Event]:
    """What only the pixels can tell: one picture under two names; in two splits it would be a leak."""
    splits = dict(zip(dataset.manifest["image_id"], dataset.manifest["split"], strict=True))
    rows = [[", ".join(names), ", ".join(splits[name] for name in names)] for names in cache.same_pixels()]
    if rows:
        caption = "The audit joins scans issued twice by woman, side and view; these have other names."
        yield Table("Images with the very same pixels", ["images", "splits"], rows, caption)
    across = sum(len({splits[name] for name in names}) > 1 for names in cache.same_pixels())
    if across:
        yield Note(f"{across} pictures are in two splits: a model is tested on what it was trained on", "warning")


@stage(version=2, presets="preprocess", default_preset="fast")
def preprocess(settings: Preprocess, run: Run) -> Iterator[Event]:
    from tfm.data.cache import Cache, build_cache, refuse_replacing
    from tfm.data.dataset import Dataset

    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    name = settings.cache or _name(settings, run)
    with run.workspace.making("cache", name) as folder:
        refuse_replacing(folder, dataset, settings.chain)
        for done, total in build_cache(folder, dataset, settings.chain, version=preprocess.version):
            yield Progress("images", done, total, "images")
    cache = Cache.open(folder)
    count, height, width = cache.images.shape
    yield Note(f"{count} images of {height} × {width} in the cache {name}")
    outputs = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    yield from _told_twice(cache, dataset)
    yield Result({"cache": name, "images": count, "height": height, "width": width}, outputs)
