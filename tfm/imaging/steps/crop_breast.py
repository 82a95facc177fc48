"""Crop to the breast's bounding box plus a margin: a third to a half of a mammogram is background."""

from __future__ import annotations

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import CropBreast


def apply(mammogram: Mammogram, settings: CropBreast) -> Mammogram:
    mammogram, breast = mammogram.locate_breast()
    margin = round(settings.margin * mammogram.image.shape[0])
    return mammogram.crop("crop_breast", *breast.find_box(mammogram.geometry, mammogram.image.shape, margin))
