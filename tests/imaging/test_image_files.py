"""PNG, JPEG, PGM and TIFF files are recognised by content and read completely or refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.imaging.dicom_files import PIXELS
from tfm.core.errors import DataError
from tfm.imaging import reader_common
from tfm.imaging.read_image import read_image, read_pixels

WORDS = PIXELS << 4
BYTES = PIXELS.astype(np.uint8)
SMOOTH = (np.add.outer(np.arange(90), np.arange(70)) * 1.6).astype(np.uint8)


def encode_with_pillow(form: str, pixels: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **options)
    return content.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def encode_tiff(pixels: np.ndarray, **options: object) -> bytes:
    return encode_with_pillow("TIFF", pixels, **options)


def encode_pgm(pixels: np.ndarray, most: int, comment: bytes = b"") -> bytes:
    height, width = pixels.shape
    kind = ">u1" if most < 256 else ">u2"
    return b"P5\n%s%d %d\n%d\n" % (comment, width, height, most) + pixels.astype(kind).tobytes()


def encode_text_pgm(pixels: np.ndarray, most: int) -> bytes:
    rows = "\n".join(" ".join(map(str, row)) for row in pixels.tolist())
    return f"P2 {pixels.shape[1]} {pixels.shape[0]} {most}\n{rows}\n".encode()


LOSSLESS: dict[str, tuple[bytes, np.ndarray]] = {
    "png-8": (encode_png(BYTES), BYTES),
    "png-16": (encode_png(WORDS), WORDS),
    "png-1": (encode_with_pillow("PNG", BYTES > 99), (BYTES > 99) * np.uint8(255)),
    "png-interlaced-colour-of-grey": (encode_png(np.dstack([WORDS] * 3)), WORDS),
    "png-opaque": (encode_png(np.dstack([BYTES, BYTES, BYTES, np.full_like(BYTES, 255)])), BYTES),
    "png-palette": (encode_with_pillow("PNG", np.asarray(Image.fromarray(BYTES).convert("P"))), BYTES),
    "pgm-8": (encode_pgm(BYTES, 255), BYTES),
    "pgm-16": (encode_pgm(WORDS, 65535, b"# film 7\n"), WORDS),
    "pgm-12": (encode_pgm(PIXELS, 4095), WORDS),
    "pgm-1000": (encode_pgm(PIXELS % 1001, 1000), np.rint((PIXELS % 1001) * 65.535).astype(np.uint16)),
    "pgm-mask": (encode_pgm(BYTES > 99, 1), (BYTES > 99) * np.uint8(255)),
    "pgm-written-8": (encode_text_pgm(BYTES, 255), BYTES),
    "pgm-written-16": (encode_text_pgm(WORDS, 65535), WORDS),
    "tiff-8": (encode_tiff(BYTES), BYTES),
    "tiff-16": (encode_tiff(WORDS), WORDS),
    "tiff-8-deflated": (encode_tiff(BYTES, compression="tiff_adobe_deflate"), BYTES),
    "tiff-16-lzw": (encode_tiff(WORDS, compression="tiff_lzw"), WORDS),
    "tiff-1": (encode_tiff(BYTES > 99), (BYTES > 99) * np.uint8(255)),
    "tiff-by-opencv": (cv2.imencode(".tiff", WORDS)[1].tobytes(), WORDS),
    "tiff-colour-of-grey": (encode_tiff(np.dstack([BYTES] * 3)), BYTES),
    "tiff-0-is-white": (
        encode_tiff(65535 - WORDS).replace(struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0)),
        WORDS,
    ),
}


@pytest.fixture
def read_content(tmp_path: Path) -> Callable[[bytes], np.ndarray]:
    """Read content from a file whose suffix is wrong."""

    def read(content: bytes) -> np.ndarray:
        path = tmp_path / "film.dcm"
        path.write_bytes(content)
        return read_pixels(path)

    return read


@pytest.mark.parametrize("form", LOSSLESS)
def test_pixels_are_read_whatever_the_file_is_called(form: str, read_content: Callable[[bytes], np.ndarray]) -> None:
    content, pixels = LOSSLESS[form]
    read = read_content(content)
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("is_colour", [False, True])
def test_jpeg_is_read_within_its_loss(is_colour: bool, read_content: Callable[[bytes], np.ndarray]) -> None:
    written = np.dstack([SMOOTH] * 3) if is_colour else SMOOTH
    assert np.abs(read_content(encode_with_pillow("JPEG", written, quality=95)).astype(int) - SMOOTH).max() <= 3


@pytest.mark.parametrize("form", [*LOSSLESS, "jpeg"])
def test_file_truncated_anywhere_is_refused(
    form: str, read_content: Callable[[bytes], np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = LOSSLESS[form][0] if form in LOSSLESS else encode_with_pillow("JPEG", SMOOTH)
    for end in {*np.linspace(0, len(whole) - 2, 60).astype(int), len(whole) - 2}:
        with pytest.raises(DataError):
            read_content(whole[:end])
    assert capfd.readouterr().err == "", "libraries print nothing on the screen"


def test_tiff_strip_past_the_end_of_the_file_is_refused(read_content: Callable[[bytes], np.ndarray]) -> None:
    whole = LOSSLESS["tiff-16-lzw"][0]
    place = whole.index(struct.pack("<HHI", 279, 4, 1)) + 8
    with pytest.raises(DataError, match="truncated"):
        read_content(whole[:place] + struct.pack("<I", len(whole)) + whole[place + 4 :])


def test_damage_inside_a_png_is_detected(
    read_content: Callable[[bytes], np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encode_png(WORDS)
    for place in range(12, len(whole), 97):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        with pytest.raises(DataError):
            read_content(bytes(broken))
    assert capfd.readouterr().err == ""


SEE_THROUGH = np.dstack([BYTES, BYTES, BYTES, BYTES])
COLOUR = np.dstack([BYTES, BYTES, BYTES // 2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"patient,side\n", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"II*\0", "cannot be read"),
        (b"P5 3 x", "broken"),
        (encode_png(COLOUR), "colour"),
        (encode_png(SEE_THROUGH), "transparent"),
        (encode_with_pillow("JPEG", np.dstack([SMOOTH, SMOOTH // 2, SMOOTH // 3])), "colour"),
        (encode_tiff(COLOUR), "colour"),
        (encode_tiff(PIXELS.astype(np.float32)), "32 bits"),
        (encode_tiff(PIXELS.astype(np.int32)), "32 bits"),
        (encode_pgm(BYTES, 255) + b"P5", "more than its header"),
        (encode_pgm(BYTES, 100), "above 100"),
        (encode_pgm(BYTES, 0), "0 is white"),
        (encode_text_pgm(PIXELS, 255), "outside the range"),
        (encode_text_pgm(BYTES, 255).replace(b"P2 30", b"P2 31"), "1240 values"),
    ],
)
def test_invalid_image_is_refused_by_file_name(
    content: bytes, reason: str, read_content: Callable[[bytes], np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason) as refused:
        read_content(content)
    assert str(tmp_path / "film.dcm") in refused.value.message
    assert refused.value.hint


def make_png_of_size(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(12)


def make_jpeg_of_size(width: int, height: int) -> bytes:
    whole = encode_with_pillow("JPEG", SMOOTH)
    start = whole.index(b"\xff\xc0") + 5
    return whole[:start] + struct.pack(">HH", height, width) + whole[start + 4 :]


def make_tiff_of_size(width: int, height: int) -> bytes:
    whole = encode_tiff(WORDS)
    for tag, is_, claimed in ((256, 30, width), (257, 40, height)):
        entry = next(
            e for e in (struct.pack("<HHIHH", tag, 3, 1, is_, 0), struct.pack("<HHII", tag, 4, 1, is_)) if e in whole
        )
        whole = whole.replace(entry, struct.pack("<HHII", tag, 4, 1, claimed))
    return whole


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (11600, 11600)])
@pytest.mark.parametrize(
    "form",
    [make_png_of_size, make_jpeg_of_size, make_tiff_of_size, lambda width, height: b"P5 %d %d 255\n" % (width, height)],
)
def test_header_with_an_excessive_size_is_refused_before_decoding(
    form: Callable[[int, int], bytes], width: int, height: int, read_content: Callable[[bytes], np.ndarray]
) -> None:
    with warnings.catch_warnings(action="error"), pytest.raises(DataError, match=f"claims {height} × {width}"):
        read_content(form(width, height))


def test_largest_mammogram_is_not_refused_as_a_bomb(read_content: Callable[[bytes], np.ndarray]) -> None:
    """Pillow would warn about a bomb above 89 million pixels."""
    assert reader_common.MAX_FRAME_PIXELS > Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(action="error"):
        read = read_content(encode_tiff(np.zeros((9500, 9500), np.uint8), compression="tiff_adobe_deflate"))
    assert read.shape == (9500, 9500)


def test_single_image_has_one_frame(read_content: Callable[[bytes], np.ndarray], tmp_path: Path) -> None:
    for content in (encode_png(BYTES), encode_pgm(BYTES, 255), encode_with_pillow("JPEG", SMOOTH)):
        read_content(content)
        assert (read_image(tmp_path / "film.dcm", "last").frame, read_image(tmp_path / "film.dcm").frames) == (1, 1)
        with pytest.raises(DataError, match="1 frame") as refused:
            read_pixels(tmp_path / "film.dcm", 2)
        assert "from 1 to 1" in refused.value.hint


def test_real_mammograms_are_read_as_opencv_reads_them(shared_data: Path) -> None:
    for film in sorted((shared_data / "film").glob("*.png")):
        np.testing.assert_array_equal(read_pixels(film), cv2.imread(str(film), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".pgm", ".tif"])
def test_a_sparse_file_of_gigabytes_is_refused_without_being_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{ending}"
    cv2.imwrite(str(path), np.full((40, 30), 77, np.uint8))
    with open(path, "r+b") as file:
        file.truncate(6 * 2**30)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="far more than an image"):
            read_pixels(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
