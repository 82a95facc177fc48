"""From a mammogram to a training image: run the steps of a chain in order.
Which steps exist is in `settings`; what each does is in `steps/`, under the step's name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tfm.core.errors import DataError
from tfm.core.settings.base import Settings
from tfm.imaging.geometry import Geometry, Shape
from tfm.imaging.mammogram import Mammogram
from tfm.imaging.project_lesion_mask import count_subpixel_lesions, measure_visible_share, project_lesions
from tfm.imaging.read_image import hash_pixels, read_image, read_pixels
from tfm.imaging.settings import ChainSettings


@dataclass(frozen=True)
class PreprocessedImage:
    """One training image. `record` holds what was read, what each step did, and the image's geometry."""

    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray  # (H, W) uint8, 1 inside
    lesions: np.ndarray  # (H, W) uint8, 0 outside lesions, else the lesion's class
    record: dict[str, Any]


def preprocess_image(
    path: Path,
    lesion_mask_path: Path | None,
    chain: ChainSettings,
    check: Callable[[np.ndarray], None] | None = None,
) -> PreprocessedImage:
    """Run the chain. `check` may reject the mammogram by its pixels before any step runs."""
    steps = run_chain(path, lesion_mask_path, chain)
    _, mammogram = next(steps)
    if check:
        check(mammogram.image)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            preprocessed: PreprocessedImage = end.value
            return preprocessed


def run_chain(
    path: Path, lesion_mask_path: Path | None, chain: ChainSettings
) -> Generator[tuple[str, Mammogram], None, PreprocessedImage]:
    """Yield the mammogram as it was read, then each step's name and result; return the training image."""
    decoded = read_image(path, chain.frame)
    record: dict[str, Any] = {"pixels": hash_pixels(decoded.pixels), "lesions": ""}
    if decoded.frames > 1:
        record["frame"] = f"{decoded.frame} of {decoded.frames}"
    mammogram = Mammogram(decoded.pixels)
    yield "film", mammogram
    try:
        for name, mammogram in apply_steps(mammogram, chain.parse_steps()):  # noqa: B020 (the last one is kept)
            yield name, mammogram
        mammogram, breast = mammogram.locate_breast()
    except DataError as error:
        raise DataError(f"{path}: {error.message}", hint=error.hint) from None
    image, geometry = mammogram.image, mammogram.geometry
    lesions: np.ndarray = np.zeros(image.shape, np.uint8)
    if lesion_mask_path is not None:
        mask = read_pixels(lesion_mask_path)
        if mask.dtype != np.uint8:
            raise DataError(
                f"{lesion_mask_path}: the lesion mask has 16 bits",
                hint="organize the download again to rebuild the masks",
            )
        lesions = project_lesions(mask, decoded.pixels.shape, geometry, image.shape)
        record["lesions"] = hash_pixels(mask)
        record |= _describe_lesions(mask, decoded.pixels.shape, geometry, image.shape)
    record |= mammogram.record | {"geometry": geometry.describe()}
    return PreprocessedImage(image, breast.render(geometry, image.shape).view(np.uint8), lesions, record)


def _describe_lesions(mask: np.ndarray, mammogram_shape: Shape, geometry: Geometry, shape: Shape) -> dict[str, Any]:
    """Return the share of the lesions' area that is in the image (a fixed border may cut some off), the number of
    lesions smaller than a pixel, and the mask's size if it differs from the mammogram's."""
    facts: dict[str, Any] = {"lesions_kept": round(measure_visible_share(mask, mammogram_shape, geometry, shape), 3)}
    if small := count_subpixel_lesions(mask, mammogram_shape, geometry):
        facts["lesions_below_a_pixel"] = small
    if mask.shape != mammogram_shape:
        facts["mask_size"] = list(mask.shape)
    return facts


def apply_steps(mammogram: Mammogram, steps: Mapping[str, Settings]) -> Iterator[tuple[str, Mammogram]]:
    """Apply steps (name → settings) in the mapping's order; yield each step's name and result."""
    for name, settings in steps.items():
        mammogram = import_module(f"tfm.imaging.steps.{name}").apply(mammogram, settings)
        yield name, mammogram
