"""Preprocess the images of a dataset into a cache."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from tfm.commands.preprocess import COMMAND, Preprocess
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import resolve
from tfm.data.cache.build import build_cache
from tfm.data.cache.cache import Cache
from tfm.data.cache.duplicate_images import DuplicateImages, find_duplicates, write_report
from tfm.data.cache.manifest import find_cache
from tfm.data.dataset.dataset import Dataset
from tfm.training.augmented_copies import write_copies
from tfm.training.inputs.samples import find_samples

_MOST_OF_IT = 0.9


def _name(settings: Preprocess, run: Run) -> str:
    """Other steps never end in the same cache."""
    preset = run.workspace.load_preset("preprocess", run.read_preset() or "")
    steps = settings.chain.model_dump_json()
    same = steps == resolve(Preprocess, preset.settings, {"dataset": settings.dataset}).chain.model_dump_json()
    own = "" if same else f"-{seed_at(steps):016x}"[:5]
    return f"{settings.dataset}-{preset.name}{own}"


def _standing(settings: Preprocess, run: Run, dataset: Dataset, own: str) -> Generator[Event, None, str | None]:
    """A cache in which these very images are already, if no other name was asked for; their own one first."""
    if settings.cache:
        return None
    names = sorted(run.workspace.list_products("cache"), key=lambda name: (name != own, name))
    folders = map(run.workspace.cache_folder, names)
    return (yield from find_cache(folders, dataset, settings.chain, COMMAND.version))


def _told_twice(twins: list[DuplicateImages]) -> Iterator[Event]:
    """One picture under two names; in two splits it would be a leak."""
    if twins:
        caption = "The audit joins scans issued twice by woman, side and view; these have other names."
        rows = [[", ".join(pair.images), ", ".join(pair.splits)] for pair in twins]
        yield Table("Images with the very same pixels", ["images", "splits"], rows, caption)
    across = sum(pair.is_leak for pair in twins)
    if across:
        yield Note(f"{across} pictures are in two splits: a model is tested on what it was trained on", "warning")


def _lesions_told(cache: Cache, dataset: Dataset) -> Iterator[Event]:
    """A label without its lesion teaches nothing, and nobody sees it in the figures."""
    records = cache.read_records(dataset.manifest["image_id"])
    kept = {name: record["lesions_kept"] for name, record in records.items() if "lesions_kept" in record}
    lost = [name for name, share in kept.items() if share == 0]
    cut = [name for name, share in kept.items() if 0 < share < _MOST_OF_IT]
    small = [name for name, record in records.items() if record.get("lesions_below_a_pixel")]
    others = [name for name, record in records.items() if "mask_size" in record]
    for names, what in (
        (lost, "nothing of their lesions is in the images any more, or ever was in their masks; the labels stay"),
        (cut, f"the steps cut off more than {1 - _MOST_OF_IT:.0%} of their lesions; the labels stay"),
        (small, "each of their lesions that is smaller than a pixel was kept as one, where there was room"),
        (others, "their masks have another size than their films, and were stretched over them"),
    ):
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield Note(f"{len(names)} images ({shown}): {what}", "warning")


def _augmented(settings: Preprocess, run: Run, dataset: Dataset, cache: Cache) -> Generator[Event, None, list[Path]]:
    folder = run.folder / "augmented"
    copies, seed = settings.write_augmented, settings.seed
    writing = write_copies(folder, cache, find_samples(dataset, cache, "train"), settings.augmentation, copies, seed)
    for done, total in writing:
        yield Progress("augmented", done, total, "files")
    yield Note(f"{total} augmented copies of the training images, to be looked at, are in {folder}")
    return sorted(folder.iterdir())


def preprocess(settings: Preprocess, run: Run) -> Iterator[Event]:
    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    name = settings.cache or _name(settings, run)
    standing = yield from _standing(settings, run, dataset, name)
    if standing:
        yield Note(f"the cache {standing} already holds these images, made by the same steps: nothing is made twice")
        name = standing
    else:
        with run.workspace.lock_product("cache", name) as folder:
            version, workers = COMMAND.version, settings.workers
            yield from build_cache(folder, dataset, settings.chain, version=version, workers=workers)
    cache = Cache.open(run.workspace.cache_folder(name))
    count, height, width = cache.images.shape
    yield Note(f"{count} images of {height} × {width} in the cache {name}")
    twins = find_duplicates(dataset, cache)
    yield from _told_twice(twins)
    yield Note(f"whether pictures are there twice was told by their pixels: {write_report(dataset, twins)}")
    yield from _lesions_told(cache, dataset)
    outputs = list(cache.files)
    if settings.write_augmented:
        outputs += yield from _augmented(settings, run, dataset, cache)
    values = {"cache": name, "images": count, "height": height, "width": width, "same_pixels": len(twins)}
    yield Result(values, [str(path) for path in outputs])
