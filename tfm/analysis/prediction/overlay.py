"""A preprocessed image beside the same image with the map of where the model looked, as one JPEG."""

from __future__ import annotations

import cv2
import numpy as np

_HEIGHT = 360  # pixels
_SHARE = 0.55  # of the map's colours
_QUALITY = 85


def encode_overlay(image: np.ndarray, heat: np.ndarray | None) -> bytes:
    """Encode the image (H, W) uint8 or uint16 and its map (H, W), at least zero; without a map, the image alone."""
    grey = image if image.dtype == np.uint8 else (image // 256).astype(np.uint8)
    parts = [cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)]
    if heat is not None:
        levels = np.rint(heat * (255 / (float(heat.max()) or 1))).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
        parts.append(cv2.addWeighted(colours, _SHARE, parts[0], 1 - _SHARE, 0))
    beside = np.hstack(parts)
    scale = _HEIGHT / image.shape[0]
    size = (max(1, round(beside.shape[1] * scale)), _HEIGHT)
    small = cv2.resize(beside, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()
