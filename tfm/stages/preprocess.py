"""Turn the films into training images, once

Breast found, labels and film border gone, all breasts facing one way, cropped and resized by the steps of a preset.
The result is a cache: arrays on disk that every model trains from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from tfm.core.events import Event, Note, Progress, Result
from tfm.core.randomness import seed_at
from tfm.core.registry import stage
from tfm.core.run import Run
from tfm.core.settings import DatasetName, Settings, resolve
from tfm.imaging.settings import ChainSettings


class Preprocess(Settings):
    dataset: DatasetName
    """Which dataset?"""

    cache: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None
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


@stage(version=1, presets="preprocess", default_preset="fast")
def preprocess(settings: Preprocess, run: Run) -> Iterator[Event]:
    from tfm.data.cache import Cache, build_cache, refuse_replacing
    from tfm.data.dataset import Dataset

    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    name = settings.cache or _name(settings, run)
    with run.workspace.making("cache", name) as folder:
        refuse_replacing(folder, dataset, settings.chain)
        for done, total in build_cache(folder, dataset, settings.chain, version=preprocess.version):
            yield Progress("images", done, total, "images")
    count, height, width = Cache.open(folder).images.shape
    yield Note(f"{count} images of {height} × {width} in the cache {name}")
    outputs = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    yield Result({"cache": name, "images": count, "height": height, "width": width}, outputs)
