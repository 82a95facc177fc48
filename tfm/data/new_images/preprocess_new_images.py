"""Preprocess new images by the steps of a cache. An image that cannot be preprocessed is refused; the others go on."""

from __future__ import annotations

import functools
from collections.abc import Generator
from pathlib import Path

import numpy as np

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.data.cache.build import FailedImages, Workers, build_cache
from tfm.data.cache.cache import Cache
from tfm.data.cache.row_maker import FailedRow
from tfm.data.cache.unlabelled import refuse_mask
from tfm.data.new_images.find_new_images import NewImages
from tfm.imaging.reader_common import DOWNLOAD_AGAIN
from tfm.imaging.settings import ChainSettings
from tfm.imaging.steps.polarity import is_background_bright

MIN_SIDE = 64  # pixels: in a smaller image no lesion can be seen


def preprocess_new_images(
    home: Path, images: NewImages, chain: ChainSettings, *, version: int, workers: Workers, crops: bool
) -> Generator[Event, None, tuple[NewImages, Cache | None]]:
    """Build a cache in `home`. Return the images that are in it, and the cache, or None if no image is left."""
    check = functools.partial(_check_pixels, crops=crops, inverts="polarity" in chain.steps)
    home.parent.mkdir(exist_ok=True)
    while images.facts:
        try:
            yield from build_cache(home, images, chain, version=version, workers=workers, check=check)
        except FailedImages as error:
            images = images.refuse(
                {
                    source.image_id: _explain_refusal(images.path(source.image_id), failed)
                    for source, failed in error.failures
                }
            )
        else:
            return images, Cache.open(home)
    return images, None


def _explain_refusal(path: Path, failed: FailedRow) -> str:
    reason = failed.message.removeprefix(f"{path}: ")
    if reason.startswith("a colour image"):
        return f"{reason}; convert it to grey, or leave it out"
    if failed.hint in ("", DOWNLOAD_AGAIN):
        return f"{reason}; copy it again from where it came, or leave it out"
    return f"{reason}; {failed.hint}"


def _check_pixels(pixels: np.ndarray, *, crops: bool, inverts: bool) -> None:
    height, width = pixels.shape
    if min(height, width) < MIN_SIDE:
        raise DataError(f"tiny: {height} × {width} pixels", hint="use the original image")
    if pixels.min() < pixels.max():  # else finding the breast says so
        refuse_mask(pixels)
    if not (crops or inverts) and is_background_bright(pixels):
        raise DataError(
            "its background is bright, as in a black-on-white image, and this model's preprocessing does not invert",
            hint="invert the image, or use a model trained on a cache that was made with the step polarity",
        )
