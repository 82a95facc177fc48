"""The one door: a file is known by its content, and is either read whole from PNG, JPEG, PGM, TIFF or refused."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.imaging.dicom_files import PIXELS, dataset, saved
from tfm.core.errors import DataError
from tfm.imaging import decoded_image, dicom
from tfm.imaging.read_image import read_image, read_pixels

WORDS = PIXELS << 4
BYTES = PIXELS.astype(np.uint8)
SMOOTH = (np.add.outer(np.arange(90), np.arange(70)) * 1.6).astype(np.uint8)


def by_pillow(form: str, pixels: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **options)
    return content.getvalue()


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    return by_pillow("TIFF", pixels, **options)


def pgm(pixels: np.ndarray, most: int, comment: bytes = b"") -> bytes:
    height, width = pixels.shape
    kind = ">u1" if most < 256 else ">u2"
    return b"P5\n%s%d %d\n%d\n" % (comment, width, height, most) + pixels.astype(kind).tobytes()


def written_pgm(pixels: np.ndarray, most: int) -> bytes:
    rows = "\n".join(" ".join(map(str, row)) for row in pixels.tolist())
    return f"P2 {pixels.shape[1]} {pixels.shape[0]} {most}\n{rows}\n".encode()


LOSSLESS: dict[str, tuple[bytes, np.ndarray]] = {
    "png-8": (png(BYTES), BYTES),
    "png-16": (png(WORDS), WORDS),
    "png-1": (by_pillow("PNG", BYTES > 99), (BYTES > 99) * np.uint8(255)),
    "png-interlaced-colour-of-grey": (png(np.dstack([WORDS] * 3)), WORDS),
    "png-opaque": (png(np.dstack([BYTES, BYTES, BYTES, np.full_like(BYTES, 255)])), BYTES),
    "png-palette": (by_pillow("PNG", np.asarray(Image.fromarray(BYTES).convert("P"))), BYTES),
    "pgm-8": (pgm(BYTES, 255), BYTES),
    "pgm-16": (pgm(WORDS, 65535, b"# film 7\n"), WORDS),
    "pgm-12": (pgm(PIXELS, 4095), WORDS),
    "pgm-1000": (pgm(PIXELS % 1001, 1000), np.rint((PIXELS % 1001) * 65.535).astype(np.uint16)),
    "pgm-mask": (pgm(BYTES > 99, 1), (BYTES > 99) * np.uint8(255)),
    "pgm-written-8": (written_pgm(BYTES, 255), BYTES),
    "pgm-written-16": (written_pgm(WORDS, 65535), WORDS),
    "tiff-8": (tiff(BYTES), BYTES),
    "tiff-16": (tiff(WORDS), WORDS),
    "tiff-8-deflated": (tiff(BYTES, compression="tiff_adobe_deflate"), BYTES),
    "tiff-16-lzw": (tiff(WORDS, compression="tiff_lzw"), WORDS),
    "tiff-1": (tiff(BYTES > 99), (BYTES > 99) * np.uint8(255)),
    "tiff-by-opencv": (cv2.imencode(".tiff", WORDS)[1].tobytes(), WORDS),
    "tiff-colour-of-grey": (tiff(np.dstack([BYTES] * 3)), BYTES),
    "tiff-0-is-white": (
        tiff(65535 - WORDS).replace(struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0)),
        WORDS,
    ),
}


@pytest.fixture
def door(tmp_path: Path) -> Callable[[bytes], np.ndarray]:
    """The name says nothing of what is inside."""

    def read(content: bytes) -> np.ndarray:
        path = tmp_path / "film.dcm"
        path.write_bytes(content)
        return read_pixels(path)

    return read


@pytest.mark.parametrize("form", LOSSLESS)
def test_pixels_come_back_whatever_the_files_name(form: str, door: Callable[[bytes], np.ndarray]) -> None:
    content, pixels = LOSSLESS[form]
    read = door(content)
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("is_colour", [False, True])
def test_jpeg_comes_back_as_near_as_it_was_written(is_colour: bool, door: Callable[[bytes], np.ndarray]) -> None:
    written = np.dstack([SMOOTH] * 3) if is_colour else SMOOTH
    assert np.abs(door(by_pillow("JPEG", written, quality=95)).astype(int) - SMOOTH).max() <= 3


def test_a_dicom_file_needs_no_suffix(tmp_path: Path) -> None:
    path = saved(dataset(), tmp_path).rename(tmp_path / "film.png")
    np.testing.assert_array_equal(read_pixels(path), WORDS)


@pytest.mark.parametrize("form", [*LOSSLESS, "jpeg"])
def test_a_file_cut_anywhere_is_refused(
    form: str, door: Callable[[bytes], np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = LOSSLESS[form][0] if form in LOSSLESS else by_pillow("JPEG", SMOOTH)
    for end in {*np.linspace(0, len(whole) - 2, 60).astype(int), len(whole) - 2}:
        with pytest.raises(DataError):
            door(whole[:end])
    assert capfd.readouterr().err == "", "libraries write nothing over the screen"


def test_a_tiff_whose_strip_goes_on_after_the_file_is_refused(door: Callable[[bytes], np.ndarray]) -> None:
    whole = LOSSLESS["tiff-16-lzw"][0]
    place = whole.index(struct.pack("<HHI", 279, 4, 1)) + 8
    with pytest.raises(DataError, match="cut or damaged"):
        door(whole[:place] + struct.pack("<I", len(whole)) + whole[place + 4 :])


def test_damage_inside_a_png_is_seen(door: Callable[[bytes], np.ndarray], capfd: pytest.CaptureFixture[str]) -> None:
    whole = png(WORDS)
    for place in range(12, len(whole), 97):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        with pytest.raises(DataError):
            door(bytes(broken))
    assert capfd.readouterr().err == ""


SEE_THROUGH = np.dstack([BYTES, BYTES, BYTES, BYTES])
COLOUR = np.dstack([BYTES, BYTES, BYTES // 2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"patient,side\n", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "cut"),
        (b"II*\0", "cannot be read"),
        (b"P5 3 x", "broken"),
        (png(COLOUR), "colour"),
        (png(SEE_THROUGH), "transparent"),
        (by_pillow("JPEG", np.dstack([SMOOTH, SMOOTH // 2, SMOOTH // 3])), "colour"),
        (tiff(COLOUR), "colour"),
        (tiff(PIXELS.astype(np.float32)), "32 bits"),
        (tiff(PIXELS.astype(np.int32)), "32 bits"),
        (pgm(BYTES, 255) + b"P5", "more than its header"),
        (pgm(BYTES, 100), "above 100"),
        (pgm(BYTES, 0), "0 is white"),
        (written_pgm(PIXELS, 255), "not allow"),
        (written_pgm(BYTES, 255).replace(b"P2 30", b"P2 31"), "1240 values"),
    ],
)
def test_what_is_no_whole_grey_image_is_refused_by_name(
    content: bytes, reason: str, door: Callable[[bytes], np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason) as refused:
        door(content)
    assert str(tmp_path / "film.dcm") in refused.value.message
    assert refused.value.hint


def png_of_size(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(12)


def jpeg_of_size(width: int, height: int) -> bytes:
    whole = by_pillow("JPEG", SMOOTH)
    start = whole.index(b"\xff\xc0") + 5
    return whole[:start] + struct.pack(">HH", height, width) + whole[start + 4 :]


def tiff_of_size(width: int, height: int) -> bytes:
    whole = tiff(WORDS)
    for tag, is_, claimed in ((256, 30, width), (257, 40, height)):
        entry = next(
            e for e in (struct.pack("<HHIHH", tag, 3, 1, is_, 0), struct.pack("<HHII", tag, 4, 1, is_)) if e in whole
        )
        whole = whole.replace(entry, struct.pack("<HHII", tag, 4, 1, claimed))
    return whole


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (11600, 11600)])
@pytest.mark.parametrize(
    "form", [png_of_size, jpeg_of_size, tiff_of_size, lambda width, height: b"P5 %d %d 255\n" % (width, height)]
)
def test_a_header_that_claims_too_much_is_refused_in_our_words_before_it_is_decoded(
    form: Callable[[int, int], bytes], width: int, height: int, door: Callable[[bytes], np.ndarray]
) -> None:
    with warnings.catch_warnings(action="error"), pytest.raises(DataError, match=f"claims {height} × {width}"):
        door(form(width, height))


def test_the_largest_film_is_no_bomb(door: Callable[[bytes], np.ndarray]) -> None:
    """Pillow warns from 89 million pixels on."""
    assert decoded_image.MAX_FRAME_PIXELS > Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(action="error"):
        read = door(tiff(np.zeros((9500, 9500), np.uint8), compression="tiff_adobe_deflate"))
    assert read.shape == (9500, 9500)


def test_a_single_image_has_one_frame(door: Callable[[bytes], np.ndarray], tmp_path: Path) -> None:
    for content in (png(BYTES), pgm(BYTES, 255), by_pillow("JPEG", SMOOTH)):
        door(content)
        assert (read_image(tmp_path / "film.dcm", "last").frame, read_image(tmp_path / "film.dcm").frames) == (1, 1)
        with pytest.raises(DataError, match="1 frame") as refused:
            read_pixels(tmp_path / "film.dcm", 2)
        assert "from 1 to 1" in refused.value.hint


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pixels(tmp_path / "absent.dcm")
    with pytest.raises(DataError, match="a folder"):
        read_pixels(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a plain file"):
        read_pixels(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(dataset(), tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match="may not read"):
        read_pixels(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(dataset(), tmp_path)
    check = dicom._check_length

    def then_shrink(length: int, form: object) -> None:
        check(length, form)  # type: ignore[arg-type]
        os.truncate(path, 700)

    monkeypatch.setattr(dicom, "_check_length", then_shrink)
    with pytest.raises(DataError, match="cut"):
        read_pixels(path)


def test_a_file_that_vanishes_between_reads_is_refused_or_read_whole(tmp_path: Path) -> None:
    source = saved(dataset(), tmp_path)
    content, path, is_over = source.read_bytes(), tmp_path / "comes-and-goes", threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            path.write_bytes(content)
            path.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(200):
            with contextlib.suppress(DataError):
                np.testing.assert_array_equal(read_pixels(path), WORDS)
    finally:
        is_over.set()
        other.join()


def test_real_films_are_read_as_they_are(shared_data: Path) -> None:
    for film in sorted((shared_data / "film").glob("*.png")):
        np.testing.assert_array_equal(read_pixels(film), cv2.imread(str(film), cv2.IMREAD_UNCHANGED))


def test_the_door_opens_without_tables_and_networks() -> None:
    code = "import sys, tfm.imaging.read_image; sys.exit(bool({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
