"""Which images have known lesions, and what their masks contain: checked once, before training."""

from __future__ import annotations

import numpy as np

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.lesion_classes import MASK_CLASSES, list_possible_classes
from tfm.training.inputs.samples import Samples, check_both_labels

_REDO = "organize the download again, then preprocess it again: both redo only what is needed"


def has_known_lesions(dataset: Dataset, samples: Samples) -> np.ndarray:
    """(n,) bool. An image without a mask shows no lesion only where the manifest says so; elsewhere its lesions are
    unknown, and its pixels must not count as background."""
    manifest = dataset.manifest.set_index("image_id").loc[samples.table["image_id"]]
    return np.asarray((manifest["mask"] != "") | (manifest["lesions"] == 0).fillna(False), dtype=bool)


def select_known_lesions(dataset: Dataset, samples: Samples) -> Samples:
    return samples.select(has_known_lesions(dataset, samples))


def count_mask_pixels(dataset: Dataset, cache: Cache, samples: Samples) -> np.ndarray:
    """(n, mask classes): the pixels of each value in each image's mask. Refuse masks that contradict the manifest: they
    belong to another image, come from an older version, or were added to the dataset after the cache was made."""
    manifest = dataset.manifest.set_index("image_id").loc[samples.table["image_id"]]
    masked = list(manifest.index[manifest["mask"] != ""])
    records = cache.read_records(masked)
    missing = [name for name in masked if not records[name]["lesions"]]  # they would seem to have no lesion
    if missing:
        raise DataError(
            f"{len(missing)} images have a lesion mask in {dataset.folder.name} but not in {cache.folder.name}: "
            f"{', '.join(missing[:3])}",
            hint="preprocess the dataset again: it adds the new masks",
        )
    counts = np.zeros((len(samples), len(MASK_CLASSES)), np.int64)
    for row, (position, kinds, label) in enumerate(
        zip(samples.positions, manifest["kind"], manifest["label"], strict=True)
    ):
        pixels = np.bincount(cache.lesions[position].ravel(), minlength=len(MASK_CLASSES))
        unexpected = set(np.flatnonzero(pixels).tolist()) - list_possible_classes(kinds, label)
        if unexpected:
            value = min(unexpected)
            meaning = MASK_CLASSES[value] if value < len(MASK_CLASSES) else "not a class"
            raise DataError(
                f"the mask of {samples.table['image_id'][row]} contains the value {value} ({meaning}), but its image "
                f"is {label} with {kinds}: the masks in {cache.folder.name} do not belong to {dataset.folder.name}",
                hint=_REDO,
            )
        counts[row] = pixels
    return counts


def check_enough_known_lesions(train: Samples, balance: str) -> None:
    """`train` are the training images with known lesions."""
    if len(train) < 2:
        raise DataError(
            f"only {len(train)} training images have known lesions, and a batch needs at least two",
            hint="organize a larger part of the data, with its ROI masks",
        )
    if balance == "sampling":
        check_both_labels("training images with known lesions", train)


def check_any_lesion(name: str, pixels: np.ndarray) -> None:
    """`pixels` (n, mask classes) of one split."""
    if not pixels[:, 1:].any():
        raise DataError(
            f"no {name} image has a lesion in its mask",
            hint=f"organize a download that has ROI masks, as full mammograms "
            f"({hints.setting('images', 'full')}), and preprocess it",
        )
