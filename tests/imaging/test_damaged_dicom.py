"""DICOM files that are truncated, contradict themselves or claim too much are refused."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from tests.imaging.dicom_files import (
    PIXELS,
    build_compressed,
    build_dataset,
    encode_htj2k,
    encode_jpeg_lossless,
    save_dicom,
)
from tests.imaging.transfer_syntaxes import (
    PROVEN_BY,
    SHOWN,
    SMOOTH,
    write_plain,
)
from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import read_header
from tfm.imaging.read_image import read_pixels


def set_values(**values: object) -> Callable[[pydicom.Dataset], None]:
    def change(made: pydicom.Dataset) -> None:
        for name, value in values.items():
            setattr(made, name, value)

    return change


def truncate(made: pydicom.Dataset) -> None:
    made.PixelData = made.PixelData[: len(made.PixelData) // 2]


def append(made: pydicom.Dataset) -> None:
    made.PixelData += bytes(200)


def remove_pixels(made: pydicom.Dataset) -> None:
    del made.PixelData


def store_floats(made: pydicom.Dataset) -> None:
    del made.PixelData
    made.FloatPixelData = PIXELS.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (set_values(PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0), "truncated"),
        (set_values(PhotometricInterpretation="CMYK", SamplesPerPixel=4), "colour"),
        (set_values(PhotometricInterpretation="PALETTE COLOR"), "colour"),
        (set_values(Rows=60000, Columns=60000), "60000 × 60000"),
        (set_values(NumberOfFrames=10**6), "1000000"),
        (set_values(NumberOfFrames=2), "truncated"),
        (set_values(NumberOfFrames=-3), "-3 frames"),
        (set_values(Rows=0), "no image"),
        (truncate, "truncated"),
        (append, "2400 bytes"),
        (remove_pixels, "no image"),
        (store_floats, "floating-point"),
        (set_values(BitsAllocated=32, BitsStored=32, HighBit=31), "32 bits"),
        (set_values(BitsAllocated=1, BitsStored=1, HighBit=0), "1 bits"),
        (set_values(BitsStored=10, HighBit=9), "above 1023"),
        (set_values(HighBit=15), "highest"),
    ],
)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_invalid_dicom_is_refused_by_file_name(
    damage: Callable[[pydicom.Dataset], None], reason: str, syntax: str, tmp_path: Path
) -> None:
    made = build_dataset(syntax=syntax)
    damage(made)
    path = save_dicom(made, tmp_path)
    with pytest.raises(DataError, match=reason) as refused:
        read_pixels(path)
    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


ALL_BUT_TINY = [syntax for syntax in PROVEN_BY if "HTJ2K" not in uid.UID(syntax).keyword]


@pytest.mark.parametrize("syntax", ALL_BUT_TINY, ids=lambda syntax: uid.UID(syntax).keyword)
def test_file_truncated_anywhere_is_refused(syntax: str, tmp_path: Path) -> None:
    whole, path = PROVEN_BY[syntax][0](tmp_path).read_bytes(), tmp_path / "cut.dcm"
    after_pixels = len(whole) - 2  # at least a pixel
    if uid.UID(syntax).is_encapsulated:  # pydicom's files contain more after the delimiter of the frames
        after_pixels = whole.rindex(b"\xfe\xff\xdd\xe0")
    for end in np.linspace(0, after_pixels, 25).astype(int):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            read_pixels(path)


STREAMS = [syntax for syntax in ALL_BUT_TINY if uid.UID(syntax).is_encapsulated]


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: uid.UID(syntax).keyword)
def test_truncated_stream_in_a_complete_file_is_refused(syntax: str, tmp_path: Path) -> None:
    made = pydicom.dcmread(PROVEN_BY[syntax][0](tmp_path))
    stream = get_frame(made.PixelData, 0, number_of_frames=1)
    for share in (0.05, 0.5, 0.9, 0.98):
        made.PixelData = encapsulate([stream[: int(len(stream) * share) // 2 * 2]])
        path = save_dicom(made, tmp_path)
        with pytest.raises(DataError):
            read_pixels(path)


NOISE = np.random.default_rng(3).integers(0, 4096, (200, 150)).astype(np.uint16)


def encode_noise(syntax: str) -> bytes:
    if syntax == uid.JPEGLosslessSV1:
        return encode_jpeg_lossless(NOISE)
    made = build_dataset(NOISE)
    made.compress(syntax)
    return get_frame(made.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize(
    "syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=lambda one: one.keyword
)
def test_stream_with_its_middle_cut_out_or_repeated_is_refused(syntax: uid.UID, tmp_path: Path) -> None:
    stream = encode_noise(syntax)
    np.testing.assert_array_equal(
        read_pixels(save_dicom(build_compressed(syntax, stream, pixels=NOISE), tmp_path)) >> 4, NOISE
    )
    for place in (0.2, 0.4, 0.6, 0.8):
        start, size = int(place * len(stream)), 500
        for damaged in (stream[:start] + stream[start + size :], stream[: start + size] + stream[start:]):
            damaged += b"\0" * (len(damaged) % 2)
            with pytest.raises(DataError):
                read_pixels(save_dicom(build_compressed(syntax, damaged, pixels=NOISE), tmp_path))


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=lambda one: one.keyword)
def test_short_stream_that_claims_a_whole_mammogram_is_refused_before_decoding(syntax: uid.UID, tmp_path: Path) -> None:
    size = (11000, 12000)
    stream = bytearray(encode_noise(syntax)[:6000] + b"\xff\xd9")
    if syntax == uid.JPEGLSLossless:
        struct.pack_into(">2H", stream, stream.index(b"\xff\xf7") + 5, *size)
    else:
        for place in (8, 24):  # of the image and of its tiles
            struct.pack_into(">2I", stream, place, *size[::-1])
        part = stream.index(b"\xff\x90")
        struct.pack_into(">I", stream, part + 6, len(stream) - part - 2)
    made = build_compressed(syntax, bytes(stream), pixels=NOISE, Rows=size[0], Columns=size[1])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="cannot hold"):
            read_pixels(save_dicom(made, tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_jpeg_2000_without_some_of_its_tiles_is_refused(tmp_path: Path) -> None:
    stream = bytearray(encode_noise(uid.JPEG2000Lossless))
    struct.pack_into(">2I", stream, 8, 150, 400)
    made = build_compressed(uid.JPEG2000Lossless, bytes(stream), pixels=np.zeros((400, 150), np.uint16))
    with pytest.raises(DataError, match="missing"):
        read_pixels(save_dicom(made, tmp_path))


def test_rle_runs_past_the_last_pixel_cause_no_panic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """pylibjpeg's decoder would panic, which is no Exception, and print on the screen."""
    segments = struct.pack("<16I", 2, 64, 66, *[0] * 13)
    for runs in (b"\x81\x07\x81\x07", b"\xf1\x07\x0f" + bytes(31)):  # 128 times 7; 16 values and more
        made = build_compressed(uid.RLELossless, segments + runs, pixels=np.zeros((4, 4), np.uint16))
        with contextlib.suppress(DataError):
            assert read_pixels(save_dicom(made, tmp_path)).shape == (4, 4)
    assert capfd.readouterr().err == ""


def test_stream_of_another_size_than_the_header_is_refused_before_decoding(tmp_path: Path) -> None:
    stream = encode_jpeg_lossless(SMOOTH)
    frame_header = stream.index(b"\xff\xc3")
    huge = stream[: frame_header + 5] + b"\xff\xff\xff\xff" + stream[frame_header + 9 :]
    for made in (
        build_compressed(uid.JPEGLosslessSV1, huge, pixels=SMOOTH),
        build_compressed(uid.JPEGLosslessSV1, stream, pixels=SMOOTH[1:]),
        build_compressed(uid.JPEGLosslessSV1, stream, pixels=SMOOTH.astype(np.uint8)),
        build_compressed(uid.HTJ2K, encode_htj2k(), pixels=np.zeros((2, 1), np.uint8)),
    ):
        with pytest.raises(DataError, match="compressed pixels"):
            read_pixels(save_dicom(made, tmp_path))


def test_compressed_pixels_under_a_plain_syntax_and_unknown_syntaxes_are_refused(tmp_path: Path) -> None:
    content = save_dicom(build_compressed(uid.RLELossless, b"x" * 80), tmp_path).read_bytes()
    path = tmp_path / "odd.dcm"
    plain_uid = uid.ExplicitVRLittleEndian.encode()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.5\0", plain_uid + b"\0" * (20 - len(plain_uid))))
    with pytest.raises(DataError, match="pixels are compressed"):
        read_pixels(path)
    with pytest.raises(DataError, match="MPEG2"):
        read_pixels(save_dicom(build_compressed(uid.MPEG2MPML, b"x" * 80), tmp_path))


def test_deflate_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = write_plain(uid.DeflatedExplicitVRLittleEndian, tmp_path)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    bomb = zlib.compressobj(9, wbits=-15)
    stream = bomb.compress(zlib.decompress(content[start:], -15)) + b"".join(
        bomb.compress(bytes(2**20)) for _ in range(200)
    )
    path.write_bytes(content[:start] + stream + bomb.flush())
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="inflates to more"):
            read_pixels(path)
        assert read_header(FoundFile(str(path), path.stat().st_size, 0)).fault == "damaged"
        assert tracemalloc.get_traced_memory()[1] < 6e7  # 200 MB are in the file
    finally:
        tracemalloc.stop()


def test_deflated_file_with_a_pad_byte_after_the_stream_is_read(tmp_path: Path) -> None:
    """At the end of a stream that inflates to a whole number of pieces, zlib holds the pad byte back."""
    path = write_plain(uid.DeflatedExplicitVRLittleEndian, tmp_path)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    explicit = zlib.decompress(content[start:], -15)
    for length in (2**20 - 1, 2**20, 2**20 + 1, 2**21):
        padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, length - len(explicit) - 12)
        deflate = zlib.compressobj(9, wbits=-15)
        stream = deflate.compress(explicit + padding + bytes(length - len(explicit) - 12)) + deflate.flush()
        path.write_bytes(content[:start] + stream + b"\0")
        np.testing.assert_array_equal(read_pixels(path), SHOWN)
