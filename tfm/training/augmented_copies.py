"""Augmented copies as files: what a training would see epoch by epoch, to be looked at or trained on elsewhere.

The changes themselves stand in augment; training here makes its own anew and reads none of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from tfm.core import files
from tfm.data.cache.cache import Cache
from tfm.training import augment
from tfm.training.inputs.samples import Rows
from tfm.training.settings import AugmentSettings


def write_copies(
    folder: Path, cache: Cache, rows: Rows, settings: AugmentSettings, copies: int, seed: int
) -> Iterator[tuple[int, int]]:
    """(files done, files in all). `rows` are the training's own: copy k of an image is what a training with that seed
    sees of it in its k-th epoch. A file that stands is not drawn again: one folder, one cache, seed and settings."""
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(folder)
    for copy in range(copies):
        drawn = augment.draw(seed, copy, len(rows))
        for row, image_id in enumerate(rows.table["image_id"]):
            path = folder / f"{image_id}_{copy + 1}.png"
            if not path.is_file():
                image = cache.images[rows.positions[row]]
                files.write_bytes(path, _png(changed(image, drawn[[row]], settings)))
            yield copy * len(rows) + row + 1, copies * len(rows)


def changed(image: np.ndarray, drawn: augment.Table, settings: AugmentSettings) -> np.ndarray:
    """image (H, W) uint8 or uint16, drawn (1, COLUMNS) → the same kind of image."""
    white = float(np.iinfo(image.dtype).max)
    grey = augment.apply(torch.from_numpy(image.astype(np.float32) / white)[None, None], drawn, settings)[0, 0].numpy()
    return np.asarray((grey * white).round(), image.dtype)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()
