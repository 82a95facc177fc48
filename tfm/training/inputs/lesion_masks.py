"""Which images' lesions are known, and what their masks hold: looked at once, before anything is learned from them."""

from __future__ import annotations

import numpy as np

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.lesion_classes import MASK_CLASSES, list_possible_classes
from tfm.training.inputs.samples import Rows, check_both_labels

_ANEW = "organize the download again, then preprocess it again: both are made anew where they must be"


def are_known(dataset: Dataset, rows: Rows) -> np.ndarray:
    """(n,) bool: an image without a mask shows no lesion only where its manifest says so. Elsewhere its lesions are
    somewhere, and to learn or to measure background there would be wrong."""
    manifest = dataset.manifest.set_index("image_id").loc[rows.table["image_id"]]
    return np.asarray((manifest["mask"] != "") | (manifest["lesions"] == 0).fillna(False), dtype=bool)


def known(dataset: Dataset, rows: Rows) -> Rows:
    return rows.only(are_known(dataset, rows))


def mask_pixels(dataset: Dataset, cache: Cache, rows: Rows) -> np.ndarray:
    """(n, mask classes): how many pixels of each value an image's mask holds. Refused where that contradicts the
    manifest: such a mask is another image's, or of a time when the values meant something else, or it came to the
    dataset after the cache was made."""
    manifest = dataset.manifest.set_index("image_id").loc[rows.table["image_id"]]
    _check_drawn(dataset, cache, list(manifest.index[manifest["mask"] != ""]))
    found = np.zeros((len(rows), len(MASK_CLASSES)), np.int64)
    for row, (position, kinds, label) in enumerate(
        zip(rows.positions, manifest["kind"], manifest["label"], strict=True)
    ):
        pixels = np.bincount(cache.lesions[position].ravel(), minlength=len(MASK_CLASSES))
        odd = set(np.flatnonzero(pixels).tolist()) - list_possible_classes(kinds, label)
        if odd:
            value = min(odd)
            meaning = MASK_CLASSES[value] if value < len(MASK_CLASSES) else "no class at all"
            raise DataError(
                f"the mask of {rows.table['image_id'][row]} holds the value {value} ({meaning}), but its image is "
                f"{label} and shows {kinds}: the masks in {cache.folder.name} are not those of {dataset.folder.name}",
                hint=_ANEW,
            )
        found[row] = pixels
    return found


def _check_drawn(dataset: Dataset, cache: Cache, masked: list[str]) -> None:
    """That the masks of these images are in the cache: without it, they would show no lesion there."""
    records = cache.read_records(masked)
    bare = [name for name in masked if not records[name]["lesions"]]
    if bare:
        raise DataError(
            f"{len(bare)} images have a lesion mask in {dataset.folder.name} that never came into {cache.folder.name}: "
            f"{', '.join(bare[:3])}",
            hint="preprocess the dataset again: it takes the masks that have come since",
        )


def check_known(train: Rows, balance: str) -> None:
    """`train` are those whose lesions are known: fewer, maybe, than there are."""
    if len(train) < 2:
        raise DataError(
            "there is a single training image whose lesions are known, and statistics of a batch take two",
            hint="organize a larger part of the data, with its ROI masks",
        )
    if balance == "sampling":
        check_both_labels("training images whose lesions are known", train)


def check_lesions(name: str, pixels: np.ndarray) -> None:
    """pixels (n, mask classes) of one split."""
    if not pixels[:, 1:].any():
        raise DataError(
            f"there is no {name} image with a lesion in its mask",
            hint=f"organize a download that has ROI masks, as full mammograms "
            f"({hints.setting('images', 'full')}), and preprocess it",
        )
