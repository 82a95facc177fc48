"""Draw a mammogram as scanned film: breast, lesions, orientation, borders, label.
The pixels depend on the exposure alone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tfm.core.randomness import generator_at
from tfm.data.phantom.anatomy import Anatomy, draw_anatomy
from tfm.data.phantom.download_plan import Exposure, Lesion
from tfm.data.phantom.lesions import Patch, draw_lesion

_BLACK = 0.012  # clear film is not quite black
_BORDER_GREY = 0.97


@dataclass(frozen=True)
class Phantom:
    """A drawn mammogram and its ground truth."""

    image: np.ndarray  # (H, W) uint16
    breast_mask: np.ndarray  # (H, W) bool
    label_mask: np.ndarray  # (H, W) bool: film borders and burned-in label
    lesion_masks: tuple[np.ndarray, ...]  # each (H, W) bool, in the order of the exposure's lesions


def draw_mammogram(exposure: Exposure) -> Phantom:
    address = (exposure.seed, "phantom", exposure.patient, exposure.side)
    rng = generator_at(*address, exposure.view)
    size = exposure.height, round(rng.uniform(0.75, 0.80) * exposure.height)
    anatomy = draw_anatomy(rng, exposure.view, exposure.density, exposure.difficulty, size)
    grey, lesion_masks = anatomy.tissue.copy(), []
    occupied = np.zeros(size, np.uint8)
    for lesion in exposure.lesions:
        # No view in the address: a lesion has one shape and one place in the breast.
        lesion_rng = generator_at(*address, "lesion", lesion.number, lesion.kind, int(lesion.malignant))
        mask = _add_lesion(grey, anatomy, occupied, exposure, lesion, lesion_rng)
        occupied |= mask
        lesion_masks.append(mask > 0)
    breast = anatomy.breast
    if exposure.side == "RIGHT":
        grey, breast = grey[:, ::-1], breast[:, ::-1]
        lesion_masks = [np.ascontiguousarray(mask[:, ::-1]) for mask in lesion_masks]
    borders = _draw_borders(rng, exposure, size)
    burned = np.maximum(borders, _draw_label(rng, exposure, size))
    shine = burned.astype(np.float32) / 255
    film = (_BLACK + np.clip(grey, 0, 0.95)) * (1 - shine) + _BORDER_GREY * shine
    film += rng.standard_normal(grey.shape, np.float32) * 0.006  # grain
    image = np.asarray(np.clip(film, 0, 1) * 65535, np.uint16)
    label_mask = burned > 0
    return Phantom(image, breast & ~label_mask, label_mask, tuple(lesion_masks))


def _add_lesion(
    grey: np.ndarray,  # (H, W) float32, changed in place
    anatomy: Anatomy,
    occupied: np.ndarray,  # (H, W) uint8
    exposure: Exposure,
    lesion: Lesion,
    rng: np.random.Generator,
) -> np.ndarray:  # (H, W) uint8
    depth, rise, brightness = rng.uniform(0.25, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.9, 1.1)
    turn = 0.0 if exposure.view == "CC" else 0.7
    patch = draw_lesion(rng, lesion, exposure.difficulty, exposure.height, turn)
    nipple_x, nipple_y = anatomy.nipple
    wanted = (nipple_x * (1 - depth), nipple_y + rise * 0.25 * exposure.height)
    x, y = _find_nearest_room(anatomy, occupied, patch, wanted)
    contrast = (0.36 if lesion.kind == "mass" else 0.62) * (1 - 0.75 * exposure.difficulty) * brightness
    middle = patch.signal.shape[0] // 2
    top, left = y - middle, x - middle
    height, width = grey.shape
    rows, columns = slice(max(top, 0), min(y + middle + 1, height)), slice(max(left, 0), min(x + middle + 1, width))
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    grey[rows, columns] += contrast * patch.signal[inner] * anatomy.thickness[rows, columns]
    mask = np.zeros(grey.shape, np.uint8)
    mask[rows, columns] = patch.mask[inner] & anatomy.breast[rows, columns]
    return mask


def _find_nearest_room(
    anatomy: Anatomy, occupied: np.ndarray, patch: Patch, wanted: tuple[float, float]
) -> tuple[int, int]:  # x, y
    """Find the nearest place where the lesion fits: in the breast, off the muscle, without overlap."""
    height, width = anatomy.breast.shape
    free = (anatomy.breast & (anatomy.muscle < 0.1) & (occupied == 0)).astype(np.uint8)
    free[: height // 25], free[-(height // 25) :], free[:, : width // 25] = 0, 0, 0  # borders may be there
    room = cv2.distanceTransform(free, cv2.DIST_L2, 5)
    y, x = np.nonzero(room >= min(1.05 * patch.radius + 2, room.max()))
    nearest = np.argmin((x - wanted[0]) ** 2 + (y - wanted[1]) ** 2)
    return int(x[nearest]), int(y[nearest])


def _draw_borders(rng: np.random.Generator, exposure: Exposure, size: tuple[int, int]) -> np.ndarray:  # (H, W) uint8
    """Draw bright strips outside the film: top, bottom and the side away from the chest wall."""
    height, width = size
    strips = np.zeros(size, np.uint8)
    top, bottom, far = (round(w * height) for w in rng.uniform(0.004, 0.016, 3) * (rng.uniform(0, 1, 3) < 0.7))
    strips[:top] = 255
    strips[height - bottom :] = 255
    if exposure.side == "LEFT":
        strips[:, width - far :] = 255
    else:
        strips[:, :far] = 255
    return strips


def _draw_label(rng: np.random.Generator, exposure: Exposure, size: tuple[int, int]) -> np.ndarray:  # (H, W) uint8
    """Draw lead letters in the upper corner away from the chest wall, which the breast never reaches."""
    height, width = size
    text = f"{exposure.side[0]} {exposure.view}"
    scale, stroke = 0.0016 * height, max(1, round(0.005 * height))
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    margin = round(rng.uniform(0.03, 0.05) * height)
    x = width - margin - text_width if exposure.side == "LEFT" else margin
    label = np.zeros(size, np.uint8)
    cv2.putText(label, text, (x, margin + text_height), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, stroke, cv2.LINE_AA)
    return label
