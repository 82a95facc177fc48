"""Augmented copies as image files, to look at or to train on elsewhere. Training here augments anew and reads none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from tfm.core import files
from tfm.data.cache.cache import Cache
from tfm.training import augment
from tfm.training.inputs.samples import Samples
from tfm.training.settings import AugmentSettings


def write_copies(
    folder: Path, cache: Cache, samples: Samples, settings: AugmentSettings, copies: int, seed: int
) -> Iterator[tuple[int, int]]:
    """Yield (files done, all files). Copy k of an image is what a training with this seed sees in its k-th epoch.

    Existing files are kept, so a folder must only be used with one cache, seed and settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(folder)
    for copy in range(copies):
        changes = augment.draw_table(seed, copy, len(samples))
        for row, image_id in enumerate(samples.table["image_id"]):
            path = folder / f"{image_id}_{copy + 1}.png"
            if not path.is_file():
                image = augment_image(cache.images[samples.positions[row]], changes[[row]], settings)
                files.write_bytes(path, cv2.imencode(".png", image)[1].tobytes())
            yield copy * len(samples) + row + 1, copies * len(samples)


def augment_image(image: np.ndarray, changes: augment.Table, settings: AugmentSettings) -> np.ndarray:
    """image (H, W) uint8 or uint16, changes (1, COLUMNS) → the same kind of image."""
    white = float(np.iinfo(image.dtype).max)
    greys = torch.from_numpy(image.astype(np.float32) / white)[None, None]
    changed = augment.augment_images(greys, changes, settings)[0, 0].numpy()
    return np.asarray((changed * white).round(), image.dtype)
