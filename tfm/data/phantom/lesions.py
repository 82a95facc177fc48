"""Draw a lesion on a square patch: a smooth or spiculated mass, or a cluster of calcifications.
Its place and brightness in the breast are set in mammogram."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tfm.data.phantom.download_plan import Lesion

_SUBPIXEL = 4
_ONE = 1 << _SUBPIXEL


@dataclass(frozen=True)
class Patch:
    signal: np.ndarray  # (N, N) float32, 0 to 1
    mask: np.ndarray  # (N, N) bool: the outline of a radiologist
    radius: float  # of the mask, in pixels


def draw_lesion(rng: np.random.Generator, lesion: Lesion, difficulty: float, height: int, turn: float) -> Patch:
    """Draw a lesion rotated by `turn`, the angle of this view."""
    radius = rng.uniform(0.055, 0.08) * (1 - 0.35 * difficulty) * height
    if lesion.kind == "calc":
        return _draw_cluster(rng, lesion.malignant, difficulty, radius, height, turn)
    if lesion.malignant:
        return _draw_spiculated_mass(rng, difficulty, 0.85 * radius, turn)
    return _draw_smooth_mass(rng, radius, turn)


def _draw_smooth_mass(rng: np.random.Generator, radius: float, turn: float) -> Patch:
    flat, lobes = rng.uniform(0.72, 1.0), rng.uniform(0, 0.04)
    phase = rng.uniform(0, 2 * np.pi)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    r = radius * (1 + lobes * np.cos(3 * angles + phase)) / np.hypot(np.cos(angles), np.sin(angles) / flat)
    core = _fill_outline(_make_canvas(1.35 * radius), r, angles + turn)
    signal = cv2.GaussianBlur(core, (0, 0), 0.07 * radius).astype(np.float32) / 255
    return Patch(signal * _draw_dome(core.shape[0], radius), core > 127, float(r.max()))


def _draw_spiculated_mass(rng: np.random.Generator, difficulty: float, radius: float, turn: float) -> Patch:
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    r = np.full(angles.shape, radius)
    for waves in range(2, 10):
        r *= 1 + rng.normal(0, 0.12 / np.sqrt(waves)) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    reach = 2.7 - 1.3 * difficulty
    core = _fill_outline(_make_canvas((reach + 0.3) * radius), r, angles + turn)
    strands = np.zeros_like(core)
    count = int(rng.integers(16, 25))
    for k in range(count):
        angle = 2 * np.pi * (k + rng.uniform(-0.35, 0.35)) / count + turn
        length, bend = radius * reach * rng.uniform(0.6, 1.0), rng.normal(0, 0.18)
        _draw_spicule(strands, angle, length, bend, radius * rng.uniform(0.09, 0.18))
    core_soft = cv2.GaussianBlur(core, (0, 0), 0.16 * radius).astype(np.float32) / 255
    strands_soft = cv2.GaussianBlur(strands, (0, 0), max(0.5, 0.03 * radius)).astype(np.float32) / 255
    strands_soft *= (0.95 - 0.5 * difficulty) * _draw_fading(core.shape[0], radius, reach)
    signal = np.maximum(core_soft * _draw_dome(core.shape[0], radius), strands_soft)
    return Patch(signal, core > 127, float(r.max()))


def _draw_cluster(
    rng: np.random.Generator, malignant: bool, difficulty: float, radius: float, height: int, turn: float
) -> Patch:
    margin = 0.01 * height  # the outline runs around the cluster, not through its outermost grains
    canvas = _make_canvas(radius + 0.04 * height)
    places = _draw_positions(rng, int(rng.integers(32, 50) if malignant else rng.integers(5, 9)), radius, turn)
    for place in places:
        if malignant:
            _draw_pleomorphic_grain(canvas, rng, place, height)
        else:
            size = rng.uniform(0.009, 0.015) * (1 - 0.45 * difficulty) * height
            _draw_dot(canvas, place, size, int(rng.integers(190, 256)))
    signal = cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.0008 * height)).astype(np.float32) / 255
    hull = cv2.convexHull(cv2.findNonZero(canvas))
    mask = np.zeros_like(canvas)
    cv2.fillConvexPoly(mask, hull, 255)
    mask = np.asarray(cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5) <= margin)
    centre = canvas.shape[0] // 2
    return Patch(signal, mask, float(np.hypot(*(hull[:, 0] - centre).T).max()) + margin)


def _make_canvas(radius: float) -> np.ndarray:  # (N, N) uint8; N is odd, so there is a middle pixel
    side = 2 * int(np.ceil(radius)) + 1
    return np.zeros((side, side), np.uint8)


def _scale_to_subpixels(canvas: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.asarray(np.round((offsets + canvas.shape[0] // 2) * _ONE), np.int32)


def _fill_outline(canvas: np.ndarray, r: np.ndarray, angles: np.ndarray) -> np.ndarray:  # (N, N) uint8
    outline = np.stack([r * np.cos(angles), r * np.sin(angles)], axis=1)
    cv2.fillPoly(canvas, [_scale_to_subpixels(canvas, outline)], 255, cv2.LINE_AA, _SUBPIXEL)
    return canvas


def _draw_dome(side: int, radius: float) -> np.ndarray:  # (N, N) float32
    """Draw a profile that is thickest, and so brightest, in the middle."""
    squares = (np.arange(side, dtype=np.float32) - side // 2) ** 2
    return np.asarray(0.75 + 0.25 * np.exp(-(squares[:, None] + squares) / radius**2), np.float32)


def _draw_fading(side: int, radius: float, reach: float) -> np.ndarray:  # (N, N) float32
    """Draw the fading of spicules: from 1 at the core to 0.35 at the tips."""
    along = np.arange(side, dtype=np.float32) - side // 2
    distances = np.hypot(along[:, None], along) / radius
    return np.clip(1 - 0.65 * (distances - 1) / (reach - 1), 0.35, 1)


def _draw_spicule(canvas: np.ndarray, angle: float, length: float, bend: float, width: float) -> None:
    along = np.linspace(0, 1, 8)
    angles = angle + bend * along
    spine = length * along[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = 0.5 * width * (1 - 0.75 * along)[:, None] * np.array([-np.sin(angle), np.cos(angle)])
    cv2.fillPoly(canvas, [_scale_to_subpixels(canvas, np.concatenate([spine + across, (spine - across)[::-1]]))], 255,
                 cv2.LINE_AA, _SUBPIXEL)  # fmt: skip


def _draw_positions(rng: np.random.Generator, count: int, radius: float, turn: float) -> np.ndarray:  # (count, 2)
    angles = rng.uniform(0, 2 * np.pi, count) + turn
    distances = radius * np.sqrt(rng.uniform(0, 1, count))
    return np.stack([distances * np.cos(angles), distances * np.sin(angles)], axis=1)


def _draw_dot(canvas: np.ndarray, place: np.ndarray, radius: float, brightness: int) -> None:
    x, y = _scale_to_subpixels(canvas, place)
    cv2.circle(canvas, (int(x), int(y)), round(radius * _ONE), brightness, -1, cv2.LINE_AA, _SUBPIXEL)


def _draw_pleomorphic_grain(canvas: np.ndarray, rng: np.random.Generator, place: np.ndarray, height: int) -> None:
    """Draw a grain of random size or, one time in three, a short branching cast of a duct."""
    brightness = int(rng.integers(150, 256))
    if rng.uniform() > 1 / 3:
        _draw_dot(canvas, place, rng.uniform(0.0014, 0.0034) * height, brightness)
        return
    angle, length = rng.uniform(0, np.pi), rng.uniform(0.010, 0.022) * height
    step = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    branch = place + 0.8 * length * np.array([np.cos(angle + 0.7), np.sin(angle + 0.7)])
    thick = max(1, round(0.0035 * height))
    paths = [_scale_to_subpixels(canvas, np.stack(path)) for path in ((place - step, place + step), (place, branch))]
    cv2.polylines(canvas, paths, False, brightness, thick, cv2.LINE_AA, _SUBPIXEL)
