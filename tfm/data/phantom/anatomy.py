"""Draw a healthy breast with the chest wall at the left edge: outline, fat, parenchyma, ducts, pectoral muscle.
Lesions are drawn in lesions; film, borders and orientation in mammogram."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft
from scipy.interpolate import make_interp_spline

from tfm.data.phantom.download_plan import View

# Points on the skin, as fractions of width and height, from the upper to the lower end at the chest wall.
_OUTLINES: dict[View, list[tuple[float, float]]] = {
    "CC": [(-0.04, 0.10), (0.22, 0.13), (0.47, 0.22), (0.65, 0.37), (0.70, 0.51), (0.64, 0.67), (0.45, 0.81),
           (0.20, 0.89), (-0.04, 0.91)],
    "MLO": [(0.50, -0.04), (0.53, 0.10), (0.60, 0.26), (0.69, 0.43), (0.73, 0.59), (0.64, 0.75), (0.44, 0.86),
            (0.20, 0.90), (-0.04, 0.96)],
}  # fmt: skip
_NIPPLE = 4  # index into each outline
_SUBPIXEL = 4  # cv2 takes coordinates in 1/2^4 pixels


@dataclass(frozen=True)
class Anatomy:
    tissue: np.ndarray  # (H, W) float32, 0 outside the breast
    breast: np.ndarray  # (H, W) bool
    thickness: np.ndarray  # (H, W) float32, 0 at the skin to 1
    muscle: np.ndarray  # (H, W) float32, 0 to 1
    nipple: tuple[float, float]  # x, y


def draw_anatomy(
    rng: np.random.Generator, view: View, density: int, difficulty: float, size: tuple[int, int]
) -> Anatomy:
    height = size[0]
    breast, nipple = _draw_outline(rng, view, size)
    depth = cv2.distanceTransform(breast, cv2.DIST_L2, 3) / height
    thickness = 1 - np.exp(-depth / 0.045)
    skin = np.exp(-(((depth - 0.012) / 0.006) ** 2)) * breast
    muscle = _draw_muscle(rng, size) if view == "MLO" else np.zeros(size, np.float32)
    gland = _draw_parenchyma(rng, density, nipple, size)
    # Fat lobules and Cooper's ligaments: thin bright strands where a smooth field crosses zero.
    strands = np.exp(-((_generate_noise(rng, size, exponent=1.6, coarsest=0.10, finest=0.012) / 0.16) ** 2))
    fibres = strands + _draw_ducts(rng, nipple, size)
    coarse = _generate_noise(rng, size, exponent=1.5, coarsest=0.4)
    clutter = 0.5 + 0.8 * difficulty
    tissue = 0.25 + 0.02 * coarse + gland * (0.10 + 0.03 * density) * (0.7 + 0.6 * difficulty)
    tissue = (tissue + 0.085 * clutter * fibres) * (1 - 0.3 * muscle) + 0.32 * muscle
    tissue = thickness * tissue + 0.035 * skin
    return Anatomy(tissue.astype(np.float32), breast > 0, thickness.astype(np.float32), muscle, nipple)


def _sample_curve(points: np.ndarray, samples: int) -> np.ndarray:  # (n, 2) → (samples, 2)
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    return np.asarray(
        make_interp_spline(lengths, points, k=min(3, len(points) - 1))(np.linspace(0, lengths[-1], samples))
    )


def _scale_to_subpixels(points: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(points * 2**_SUBPIXEL), np.int32)


def _draw_outline(
    rng: np.random.Generator, view: View, size: tuple[int, int]
) -> tuple[np.ndarray, tuple[float, float]]:  # (H, W) uint8
    height, width = size
    points = np.array(_OUTLINES[view]) + rng.normal(0, 0.008, (len(_OUTLINES[view]), 2))
    reach, stretch = rng.uniform(0.88, 1.08), rng.uniform(0.90, 1.02)
    points[:, 0] *= reach
    if view == "CC":
        points[:, 1] = 0.5 + (points[:, 1] - 0.5) * stretch + rng.uniform(-0.02, 0.03)
    points *= (width, height)
    skin = _sample_curve(points, 120)
    corners = np.array([(-0.1 * width, skin[-1, 1]), (-0.1 * width, skin[0, 1])])
    breast = np.zeros(size, np.uint8)
    cv2.fillPoly(breast, [_scale_to_subpixels(np.concatenate([skin, corners]))], 1, shift=_SUBPIXEL)
    nipple = (float(points[_NIPPLE, 0]), float(points[_NIPPLE, 1]))
    cv2.circle(breast, (round(nipple[0]), round(nipple[1])), round(0.014 * height), 1, -1)
    return breast, nipple


def _draw_muscle(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:  # (H, W) float32
    height, width = size
    top, foot, belly = rng.uniform(0.28, 0.40), rng.uniform(0.45, 0.62), rng.uniform(0.0, 0.05)
    edge = _sample_curve(np.array([(top, -0.02), (top / 2 + belly, foot / 2), (-0.02, foot)]) * (width, height), 40)
    muscle = np.zeros(size, np.uint8)
    cv2.fillPoly(
        muscle,
        [_scale_to_subpixels(np.concatenate([edge, [(-9.0, foot * height), (-9.0, -9.0)]]))],
        255,
        shift=_SUBPIXEL,
    )
    return np.asarray(cv2.GaussianBlur(muscle, (0, 0), 0.007 * height), np.float32) / 255


def _generate_noise(
    rng: np.random.Generator, size: tuple[int, int], *, exponent: float, coarsest: float, finest: float = 0.0
) -> np.ndarray:  # (H, W) float32, mean 0, sd 1
    """Generate a random field with amplitude 1/f^exponent between two wavelengths (fractions of the height)."""
    height, width = size
    rows, columns = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    frequency = height * np.hypot(
        fft.fftfreq(rows)[:, None].astype(np.float32), fft.rfftfreq(columns)[None].astype(np.float32)
    )
    amplitude = np.maximum(frequency, 1 / coarsest) ** -exponent
    if finest:
        amplitude *= np.exp(-((frequency * finest) ** 2))
    amplitude[0, 0] = 0
    white = rng.standard_normal((*amplitude.shape, 2), np.float32).view(np.complex64)[..., 0]
    field = fft.irfft2(white * amplitude, (rows, columns))[:height, :width]
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _draw_parenchyma(
    rng: np.random.Generator, density: int, nipple: tuple[float, float], size: tuple[int, int]
) -> np.ndarray:  # (H, W) float32, 0 to 1
    """Draw glandular tissue with 1/f³ power behind the nipple; its amount grows with the density."""
    height, width = size
    y, x = np.ogrid[:height, :width]
    cone = np.exp(-(((x - 0.62 * nipple[0]) / (0.42 * nipple[0])) ** 2) - (((y - nipple[1]) / (0.23 * height)) ** 2))
    field = _generate_noise(rng, size, exponent=1.5, coarsest=0.25)
    return np.asarray(1 / (1 + np.exp(-1.5 * (field + 3.2 * cone + 0.75 * density - 4.2))), np.float32)


def _draw_ducts(
    rng: np.random.Generator, nipple: tuple[float, float], size: tuple[int, int]
) -> np.ndarray:  # (H, W) float32, 0 to 1
    height = size[0]
    canvas = np.zeros(size, np.uint8)
    for _ in range(18):
        end = np.array([rng.uniform(0, 0.5) * nipple[0], nipple[1] + rng.normal(0, 0.22) * height])
        middle = (np.array(nipple) + end) / 2 + rng.normal(0, 0.03, 2) * height
        path = _scale_to_subpixels(_sample_curve(np.array([(0.94 * nipple[0], nipple[1]), middle, end]), 24))
        thick = max(1, round(rng.uniform(0.001, 0.0035) * height))
        cv2.polylines(canvas, [path], False, int(rng.integers(70, 220)), thick, cv2.LINE_AA, _SUBPIXEL)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.0015 * height), np.float32) / 255
