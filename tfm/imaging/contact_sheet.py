"""Draw contact sheets: captioned images side by side in one PNG, and thumbnails for the terminal.
Nothing here runs a step or chooses images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfm.core import files

TILE_SIDE = 256  # pixels: longer side of an image on the sheet
_GAP, _LINE_HEIGHT = 8, 22
_TITLE_SIZE, _CAPTION_SIZE = 15, 13
_BACKGROUND, _INK, _DIM = (24, 26, 30), (235, 235, 235), (150, 160, 170)
_BREAST, _LESION = (80, 200, 220), (255, 80, 60)
_THUMBNAIL_SIDE = 48  # pixels: side of an image in the terminal


@dataclass(frozen=True)
class Tile:
    caption: str
    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray | None = None  # (H, W), outlined if given
    lesions: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    title: str
    tiles: list[Tile]


def draw_contact_sheet(path: Path, title: str, rows: Sequence[Row]) -> None:
    columns = max(len(row.tiles) for row in rows)
    row_height = 2 * _LINE_HEIGHT + TILE_SIDE + _GAP
    size = (_GAP + columns * (TILE_SIDE + _GAP), 2 * _LINE_HEIGHT + len(rows) * row_height)
    sheet = Image.new("RGB", size, _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), title, _INK, ImageFont.load_default(_TITLE_SIZE + 3))
    for number, row in enumerate(rows):
        top = 2 * _LINE_HEIGHT + number * row_height
        pen.text((_GAP, top), row.title, _INK, ImageFont.load_default(_TITLE_SIZE))
        for column, tile in enumerate(row.tiles):
            left = _GAP + column * (TILE_SIDE + _GAP)
            pen.text((left, top + _LINE_HEIGHT), tile.caption, _DIM, ImageFont.load_default(_CAPTION_SIZE))
            sheet.paste(Image.fromarray(_render(tile)), (left, top + 2 * _LINE_HEIGHT))
    path.parent.mkdir(exist_ok=True)
    with files.write_atomically(path) as temporary:
        sheet.save(temporary, format="png")


def encode_thumbnails(images: Sequence[np.ndarray]) -> list[str]:
    """Encode images side by side: one string per row of pixels, two hex digits per pixel."""
    tiles = []
    for image in images:
        small = _resize_to_bytes(image, _THUMBNAIL_SIDE)
        tile = np.zeros((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(tile)
    return [row.tobytes().hex() for row in np.hstack(tiles)]


def _render(tile: Tile) -> np.ndarray:  # (h, w, 3) uint8
    small = cv2.cvtColor(_resize_to_bytes(tile.image, TILE_SIDE), cv2.COLOR_GRAY2RGB)
    for mask, colour in ((tile.breast, _BREAST), (tile.lesions, _LESION)):
        if mask is not None:
            # Shares, not a resized mask: a lesion smaller than half a pixel is still outlined.
            shares = cv2.resize(np.asarray(mask > 0, np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
            inside = np.asarray(shares > 0, np.uint8)
            outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(small, outlines, -1, colour, 1, cv2.LINE_AA)
    return small


def _resize_to_bytes(image: np.ndarray, side: int) -> np.ndarray:
    """Resize so that the longer side is `side` pixels; return uint8."""
    scale = side / max(image.shape)
    size = tuple(max(1, round(length * scale)) for length in image.shape[::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    return np.asarray(small if small.dtype == np.uint8 else small // 256, np.uint8)
