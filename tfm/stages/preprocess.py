"""Turn the films into training images, once

Breast found, labels and film border gone, all breasts facing one way, cropped and resized by the steps of a preset.
The result is a cache: arrays on disk that every model trains from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.randomness import seed_at
from tfm.core.registry import stage
from tfm.core.run import Run
from tfm.core.settings import OUT_OF_KEY, DatasetName, ProductName, Settings, resolve
from tfm.imaging.settings import ChainSettings
from tfm.train.settings import DEFAULT_SEED, AugmentSettings

if TYPE_CHECKING:
    from tfm.data.cache import Cache
    from tfm.data.dataset import Dataset
    from tfm.data.same_pixels import Twins


_HALF = 0.5


class Preprocess(Settings):
    dataset: DatasetName
    """Which dataset?"""

    cache: ProductName | None = None
    """What should the cache be called?
    Empty: after its dataset and preset, with a few letters more where a step's settings aren't the preset's."""

    workers: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], OUT_OF_KEY] = "auto"
    """How many processes make images at the same time
    auto: one for each core, fewer for few images. Each needs up to 600 MB; 1 makes the images one after the other."""

    chain: ChainSettings

    write_augmented: Annotated[int, Field(ge=0, le=100)] = 0
    """How many augmented copies of each training image to write as files
    To look at, or for use elsewhere: training makes its own, anew each epoch; copy 1 is what its first epoch sees."""

    augmentation: AugmentSettings = AugmentSettings()

    seed: int = DEFAULT_SEED
    """Seed of the augmented copies, as in training"""


def _name(settings: Preprocess, run: Run) -> str:
    """Other steps never end in the same cache."""
    preset = run.workspace.preset("preprocess", run.preset or "")
    steps = settings.chain.model_dump_json()
    same = steps == resolve(ChainSettings, preset.settings, {}).model_dump_json()
    own = "" if same else f"-{seed_at(steps):016x}"[:5]
    return f"{settings.dataset}-{preset.name}{own}"


def _standing(settings: Preprocess, run: Run, dataset: Dataset, own: str) -> str | None:
    """A cache in which these very images are already, if no other name was asked for; their own one first."""
    from tfm.data.standing import find_standing

    if settings.cache:
        return None
    names = sorted(run.workspace.products("cache"), key=lambda name: (name != own, name))
    folders = map(run.workspace.cache_folder, names)
    return find_standing(folders, dataset, settings.chain, preprocess.version)


def _told_twice(twins: list[Twins]) -> Iterator[Event]:
    """One picture under two names; in two splits it would be a leak."""
    if twins:
        caption = "The audit joins scans issued twice by woman, side and view; these have other names."
        rows = [[", ".join(pair.images), ", ".join(pair.splits)] for pair in twins]
        yield Table("Images with the very same pixels", ["images", "splits"], rows, caption)
    across = sum(pair.is_leak for pair in twins)
    if across:
        yield Note(f"{across} pictures are in two splits: a model is tested on what it was trained on", "warning")


def _cut_off(cache: Cache, dataset: Dataset) -> Iterator[Event]:
    """A label without its lesion teaches nothing, and nobody sees it in the figures."""
    records = cache.records(dataset.manifest["image_id"])
    lost = [name for name, record in records.items() if record.get("lesions_kept", 1) < _HALF]
    if lost:
        shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        yield Note(f"the steps cut off more than half of the lesions of {shown}: their labels stay", "warning")


def _augmented(settings: Preprocess, run: Run, dataset: Dataset, cache: Cache) -> Iterator[Event]:
    from tfm.train.augmented import write_copies
    from tfm.train.rows import rows_of

    folder = run.folder / "augmented"
    copies, seed = settings.write_augmented, settings.seed
    writing = write_copies(folder, cache, rows_of(dataset, cache, "train"), settings.augmentation, copies, seed)
    for done, total in writing:
        yield Progress("augmented", done, total, "files")
    yield Note(f"{total} augmented copies of the training images, to be looked at, are in {folder}")


@stage(version=3, presets="preprocess", default_preset="fast", trial="contact-sheet")
def preprocess(settings: Preprocess, run: Run) -> Iterator[Event]:
    from tfm.data.cache import Cache
    from tfm.data.caching import build_cache
    from tfm.data.dataset import Dataset
    from tfm.data.same_pixels import find_twins, report

    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    name = settings.cache or _name(settings, run)
    standing = _standing(settings, run, dataset, name)
    if standing:
        yield Note(f"the cache {standing} already holds these images, made by the same steps: nothing is made twice")
        name = standing
    else:
        with run.workspace.making("cache", name) as folder:
            version, workers = preprocess.version, settings.workers
            for done, total in build_cache(folder, dataset, settings.chain, version=version, workers=workers):
                yield Progress("images", done, total, "images")
    cache = Cache.open(run.workspace.cache_folder(name))
    count, height, width = cache.images.shape
    yield Note(f"{count} images of {height} × {width} in the cache {name}")
    twins = find_twins(dataset, cache)
    yield from _told_twice(twins)
    yield Note(f"whether pictures are there twice was told by their pixels: {report(dataset, twins)}")
    yield from _cut_off(cache, dataset)
    if settings.write_augmented:
        yield from _augmented(settings, run, dataset, cache)
    values = {"cache": name, "images": count, "height": height, "width": width, "same_pixels": len(twins)}
    yield Result(values, [str(path) for path in cache.files])
