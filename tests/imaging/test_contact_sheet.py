"""A contact sheet shows each image with its outlines and caption."""

from pathlib import Path

import numpy as np
from PIL import Image

from tfm.imaging.contact_sheet import TILE_SIDE, Row, Tile, draw_contact_sheet, encode_thumbnails


def test_sheet_shows_every_tile_with_its_outlines(tmp_path: Path) -> None:
    bright = np.full((400, 200), 50000, np.uint16)
    dim = np.full((100, 100), 60, np.uint8)
    lesion = np.zeros((100, 100), np.uint8)
    lesion[30:60, 30:60] = 2
    rows = [
        Row("P_1", [Tile("film", bright, breast=bright > 0), Tile("after", dim, lesions=lesion)]),
        Row("P_2", [Tile("film", dim)]),
    ]
    draw_contact_sheet(tmp_path / "sheet.png", "Two films", rows)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape[1] > 2 * TILE_SIDE
    greys = np.ptp(sheet, axis=2) == 0
    assert (greys & (sheet[..., 0] == 50000 >> 8)).sum() > 0.9 * TILE_SIDE * TILE_SIDE / 2
    assert (greys & (sheet[..., 0] == 60)).sum() > 1.8 * TILE_SIDE * TILE_SIDE
    red = (sheet[..., 0] > 150) & (sheet[..., 2] < 110)
    assert 200 < red.sum() < 2500, "the lesion's outline, 77 pixels a side"


def test_lesion_smaller_than_half_a_pixel_is_outlined(tmp_path: Path) -> None:
    lesion = np.zeros((4600, 3000), np.uint8)
    lesion[2000:2006, 1000:1006] = 2
    draw_contact_sheet(
        tmp_path / "sheet.png", "A speck", [Row("P_1", [Tile("film", np.zeros_like(lesion), lesions=lesion)])]
    )
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert ((sheet[..., 0] > 150) & (sheet[..., 2] < 110)).any()


def test_thumbnails_are_rows_of_hex_digits_side_by_side() -> None:
    rows = encode_thumbnails([np.full((90, 90), 255, np.uint8), np.full((90, 45), 0x8000, np.uint16)])
    assert len(rows) == 48
    assert rows[10] == "ff" * 48 + "80" * 24 + "00" * 24
