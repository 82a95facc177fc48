"""The cache of a dataset for given steps: the one that exists, else a new one."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

from tfm.commands.preprocess import COMMAND, Preprocess
from tfm.core.errors import TFMError
from tfm.core.events import Event, Note, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.cache.build import Workers, build_cache
from tfm.data.cache.cache import LEFT_OUT, Cache
from tfm.data.cache.left_out import build_cache_without_bad_images
from tfm.data.cache.manifest import find_cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.settings import OnBadImage
from tfm.imaging.settings import ChainSettings

_SHOWN_LEFT_OUT = 10


def find_or_build_cache(
    workspace: Workspace,
    name: str,
    dataset: Dataset,
    chain: ChainSettings,
    workers: Workers = "auto",
    on_bad_image: OnBadImage = "leave out",
) -> Generator[Event, None, str]:
    """Return the name of a cache that has all images of the dataset by these steps. A new one is called `name`."""
    names = sorted(workspace.list_products("cache"), key=lambda other: (other != name, other))
    existing = yield from find_cache(map(workspace.cache_folder, names), dataset, chain, COMMAND.version)
    if existing:
        yield Note(f"the cache {existing} already contains these images with the same steps and is reused")
        return existing
    yield from build_named_cache(workspace, name, dataset, chain, workers, on_bad_image)
    return name


def build_named_cache(
    workspace: Workspace,
    name: str,
    dataset: Dataset,
    chain: ChainSettings,
    workers: Workers,
    on_bad_image: OnBadImage,
) -> Iterator[Event]:
    build = build_cache if on_bad_image == "stop" else build_cache_without_bad_images
    with workspace.lock_product("cache", name) as folder:
        yield from build(folder, dataset, chain, version=COMMAND.version, workers=workers)
    yield from _report_left_out(Cache.open(workspace.cache_folder(name)))


def _report_left_out(cache: Cache) -> Iterator[Event]:
    if left_out := cache.read_left_out():
        rows = [[name, reason] for name, reason in list(left_out.items())[:_SHOWN_LEFT_OUT]]
        yield Table("Images that cannot be preprocessed", ["image", "reason"], rows)
        yield Note(
            f"{len(left_out)} images are left out, and every figure will say so: {cache.folder / LEFT_OUT}", "warning"
        )


def name_cache(workspace: Workspace, dataset: str, chain: ChainSettings) -> str:
    """Name a cache by the preset that has these steps; without one, by letters that stand for the steps."""
    steps = chain.model_dump_json()
    for preset in workspace.list_presets("preprocess"):
        with contextlib.suppress(TFMError):  # a preset of the workspace may be damaged
            values = workspace.load_preset("preprocess", preset).settings
            if resolve(Preprocess, values, {"dataset": dataset}).chain.model_dump_json() == steps:
                return f"{dataset}-{preset}"
    return f"{dataset}-{seed_at(steps):016x}"[: len(dataset) + 5]
