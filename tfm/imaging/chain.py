"""From a film to a training image: the steps of a chain, one after the other.

A step's file is found by its name; what a chain may hold is said in `settings`, where its results go is the cache's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from tfm.core.errors import DataError
from tfm.core.settings.schema import Settings
from tfm.imaging.geometry import Geometry
from tfm.imaging.lesion_mask import count_subpixel_lesions, project_lesions
from tfm.imaging.mammogram import Mammogram
from tfm.imaging.read_image import read_image, read_pixels
from tfm.imaging.settings import ChainSettings


@dataclass(frozen=True)
class PreparedImage:
    """One training image. `record` has what was read, what each step did, and where the image lies on its film."""

    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray  # (H, W) uint8, 1 inside
    lesions: np.ndarray  # (H, W) uint8, 0 where there is none, else the lesion's class
    record: dict[str, Any]


def preprocess_image(
    path: Path,
    lesion_mask_path: Path | None,
    chain: ChainSettings,
    check: Callable[[np.ndarray], None] | None = None,
) -> PreparedImage:
    """`check` refuses a film by its pixels."""
    making = run_chain(path, lesion_mask_path, chain)
    _, film = next(making)
    if check:
        check(film.image)
    while True:
        try:
            next(making)
        except StopIteration as end:
            prepared: PreparedImage = end.value
            return prepared


def run_chain(
    path: Path, lesion_mask_path: Path | None, chain: ChainSettings
) -> Generator[tuple[str, Mammogram], None, PreparedImage]:
    """The film as it was read, then each step's name with what it made; at the end the training image."""
    scan = read_image(path, chain.frame)
    record: dict[str, Any] = {"pixels": _hash(scan.pixels), "lesions": ""}
    if scan.frames > 1:
        record["frame"] = f"{scan.frame} of {scan.frames}"
    film = Mammogram(scan.pixels)
    yield "film", film
    try:
        for name, film in apply_steps(film, chain.chosen()):  # noqa: B020 (the last one is what we want)
            yield name, film
        film, breast = film.locate_breast()
    except DataError as error:
        raise DataError(f"{path}: {error.message}", hint=error.hint) from None
    shape = film.image.shape
    lesions: np.ndarray = np.zeros(shape, np.uint8)
    if lesion_mask_path is not None:
        drawn = _lesion_mask(lesion_mask_path)
        lesions = project_lesions(drawn, scan.pixels.shape, film.geometry, shape)
        record["lesions"] = _hash(drawn)
        record |= _account(lesions, film.geometry, drawn, scan.pixels)
    record |= film.record | {"geometry": film.geometry.record()}
    return PreparedImage(film.image, breast.mask(film.geometry, shape).view(np.uint8), lesions, record)


def _lesion_mask(path: Path) -> np.ndarray:
    mask = read_pixels(path)
    if mask.dtype != np.uint8:
        raise DataError(
            f"{path}: a lesion mask of 16 bits", hint="organize the download again: it draws the masks anew"
        )
    return mask


def _account(seen: np.ndarray, at: Geometry, drawn: np.ndarray, film: np.ndarray) -> dict[str, Any]:
    """What became of the lesions: the share of their area that is still in the image, of which a fixed border may have
    cut off some; how many are smaller than a pixel; and that a mask has another size than its film."""
    there = np.count_nonzero(drawn) * film.size / drawn.size
    here = np.count_nonzero(seen) * at.down * abs(at.right)
    found: dict[str, Any] = {"lesions_kept": round(min(1.0, here / there), 3) if there else 0.0}
    if small := count_subpixel_lesions(drawn, film.shape, at):
        found["lesions_below_a_pixel"] = small
    return found | ({"mask_size": list(drawn.shape)} if drawn.shape != film.shape else {})


def apply_steps(film: Mammogram, steps: Mapping[str, Settings]) -> Iterator[tuple[str, Mammogram]]:
    """Step → its settings, run in the mapping's order: each step's name with what it made."""
    for name, settings in steps.items():
        film = import_module(f"tfm.imaging.steps.{name}").apply(film, settings)
        yield name, film


def _hash(pixels: np.ndarray) -> str:
    """Equal for equal pixels, however the file that held them was written. 128 bits; a cryptographic one would take
    as long as all the rest of a chain."""
    digest = xxhash.xxh3_128(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
