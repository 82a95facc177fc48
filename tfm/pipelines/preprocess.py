"""Preprocess the images of a dataset into a cache."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from tfm.commands.preprocess import Preprocess
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.data.cache.duplicate_images import DuplicateImages, find_duplicates, write_report
from tfm.data.dataset.dataset import Dataset
from tfm.pipelines.dataset_cache import build_named_cache, find_or_build_cache
from tfm.training.export_augmented_images import write_copies
from tfm.training.inputs.samples import find_samples

_MOST_OF_A_LESION = 0.9


def _build_cache_name(settings: Preprocess, run: Run) -> str:
    """Add letters to the name if the steps differ from the preset."""
    preset = run.workspace.load_preset("preprocess", run.read_preset() or "")
    steps = settings.chain.model_dump_json()
    same = steps == resolve(Preprocess, preset.settings, {"dataset": settings.dataset}).chain.model_dump_json()
    own = "" if same else f"-{seed_at(steps):016x}"[:5]
    return f"{settings.dataset}-{preset.name}{own}"


def _report_duplicates(twins: list[DuplicateImages]) -> Iterator[Event]:
    """Report identical images under different names. Across two splits they are a leak."""
    if twins:
        caption = "The audit merges duplicate scans by patient, side and view. These differ in name."
        rows = [[", ".join(pair.images), ", ".join(pair.splits)] for pair in twins]
        yield Table("Images with identical pixels", ["images", "splits"], rows, caption)
    across = sum(pair.is_leak for pair in twins)
    if across:
        yield Note(
            f"{across} images are in two splits: no model can be trained on this dataset, because it would be tested "
            "on images that it was trained on; organize the download again under another name",
            "warning",
        )


def _report_lost_lesions(cache: Cache, dataset: Dataset) -> Iterator[Event]:
    """Warn about images whose lesions were cut off or changed by the steps."""
    records = cache.read_records(dataset.manifest["image_id"])
    kept = {name: record["lesions_kept"] for name, record in records.items() if "lesions_kept" in record}
    lost = [name for name, share in kept.items() if share == 0]
    cut = [name for name, share in kept.items() if 0 < share < _MOST_OF_A_LESION]
    small = [name for name, record in records.items() if record.get("lesions_below_a_pixel")]
    others = [name for name, record in records.items() if "mask_size" in record]
    for names, what in (
        (lost, "their lesions were cut off or their masks are empty; the labels stay"),
        (cut, f"the steps cut off more than {1 - _MOST_OF_A_LESION:.0%} of their lesions; the labels stay"),
        (small, "lesions smaller than a pixel were enlarged to one pixel where possible"),
        (others, "their masks differ in size from the images and were resized"),
    ):
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield Note(f"{len(names)} images ({shown}): {what}", "warning")


def _write_augmented_copies(
    settings: Preprocess, run: Run, dataset: Dataset, cache: Cache
) -> Generator[Event, None, list[Path]]:
    folder = run.folder / "augmented"
    copies, seed = settings.write_augmented, settings.seed
    writing = write_copies(folder, cache, find_samples(dataset, cache, "train"), settings.augmentation, copies, seed)
    for done, total in writing:
        yield Progress("augmented", done, total, "files")
    yield Note(f"{total} augmented copies of the training images, for inspection, are in {folder}")
    return sorted(folder.iterdir())


def preprocess(settings: Preprocess, run: Run) -> Iterator[Event]:
    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    workspace, name = run.workspace, settings.cache
    if name:
        yield from build_named_cache(workspace, name, dataset, settings.chain, settings.workers, settings.on_bad_image)
    else:
        name = _build_cache_name(settings, run)
        name = yield from find_or_build_cache(
            workspace, name, dataset, settings.chain, settings.workers, settings.on_bad_image
        )
    cache = Cache.open(workspace.cache_folder(name))
    count, height, width = cache.images.shape
    twins = find_duplicates(dataset, cache)
    yield from _report_duplicates(twins)
    yield Note(f"report on duplicate images: {write_report(dataset, twins)}")
    yield from _report_lost_lesions(cache, dataset)
    outputs = list(cache.files)
    if settings.write_augmented:
        outputs += yield from _write_augmented_copies(settings, run, dataset, cache)
    values = {"cache": name, "images": count, "height": height, "width": width, "same_pixels": len(twins)}
    summary = f"{count} images of {height} × {width} pixels are in the cache {name}."
    yield Result(values, [str(path) for path in outputs], summary)
