"""Pixels are read from DICOM in every transfer syntax; incomplete files are refused."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from tests.imaging.dicom_files import (
    PIXELS,
    build_colour,
    build_compressed,
    build_dataset,
    encode_htj2k,
    encode_jpeg_lossless,
    save_dicom,
)
from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import read_header
from tfm.imaging import dicom
from tfm.imaging.read_image import read_pixels

SMOOTH = (np.add.outer(np.arange(64), np.arange(48)) * 37).astype(np.uint16)  # (64, 48), 12 bits in 16
SHOWN = SMOOTH << 4
STAIRS = np.repeat([65535, 32765, 16385, 4095, 1025, 255, 65, 15, 5, 0], 5)[:, None]


def find_pydicom_file(name: str) -> Path:
    """Return a file that comes with pydicom."""
    return Path(str(get_testdata_file(name, download=False)))


def write_plain(syntax: str, folder: Path) -> Path:
    pixels = SMOOTH.byteswap() if syntax == uid.ExplicitVRBigEndian else SMOOTH
    return save_dicom(build_dataset(pixels, syntax), folder)


def write_encoded(syntax: str, folder: Path, **options: object) -> Path:
    made = build_dataset(SMOOTH)
    made.compress(syntax, **options)
    return save_dicom(made, folder)


def write_jpeg(folder: Path) -> Path:
    content = io.BytesIO()
    Image.fromarray((SMOOTH >> 4).astype(np.uint8)).save(content, "JPEG", quality=95)
    return save_dicom(
        build_compressed(uid.JPEGBaseline8Bit, content.getvalue(), pixels=np.zeros(SMOOTH.shape, np.uint8)), folder
    )


def write_jpeg_lossless(syntax: str, selection: int, folder: Path) -> Path:
    return save_dicom(build_compressed(syntax, encode_jpeg_lossless(SMOOTH, selection), pixels=SMOOTH), folder)


def write_htj2k(syntax: str, folder: Path) -> Path:
    return save_dicom(build_compressed(syntax, encode_htj2k(), pixels=np.zeros((1, 1), np.uint8)), folder)


def read_rle_twin() -> np.ndarray:
    return read_pixels(find_pydicom_file("MR_small_RLE.dcm"))


# For each transfer syntax: how to write a file, its expected pixels, and the tolerance.
Proof = tuple[Callable[[Path], Path], Callable[[], np.ndarray], int]
PROVEN_BY: dict[str, Proof] = {
    uid.ImplicitVRLittleEndian: (partial(write_plain, uid.ImplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.ExplicitVRLittleEndian: (partial(write_plain, uid.ExplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.ExplicitVRBigEndian: (partial(write_plain, uid.ExplicitVRBigEndian), lambda: SHOWN, 0),
    uid.DeflatedExplicitVRLittleEndian: (partial(write_plain, uid.DeflatedExplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.RLELossless: (partial(write_encoded, uid.RLELossless), lambda: SHOWN, 0),
    uid.JPEGBaseline8Bit: (write_jpeg, lambda: SMOOTH >> 4, 3),
    # DCMTK and GDCM read 244 there, of 12 bits
    uid.JPEGExtended12Bit: (lambda _: find_pydicom_file("JPGExtended.dcm"), lambda: np.array(244 << 4), 0),
    uid.JPEGLossless: (partial(write_jpeg_lossless, uid.JPEGLossless, 2), lambda: SHOWN, 0),
    uid.JPEGLosslessSV1: (partial(write_jpeg_lossless, uid.JPEGLosslessSV1, 1), lambda: SHOWN, 0),
    uid.JPEGLSLossless: (lambda _: find_pydicom_file("MR_small_jpeg_ls_lossless.dcm"), read_rle_twin, 0),
    uid.JPEGLSNearLossless: (lambda _: find_pydicom_file("JPEGLSNearLossless_16.dcm"), lambda: STAIRS, 0),
    uid.JPEG2000Lossless: (partial(write_encoded, uid.JPEG2000Lossless), lambda: SHOWN, 0),
    uid.JPEG2000: (partial(write_encoded, uid.JPEG2000, j2k_psnr=[90]), lambda: SHOWN, 32),
    uid.HTJ2KLossless: (partial(write_htj2k, uid.HTJ2KLossless), lambda: np.array(129), 0),
    uid.HTJ2KLosslessRPCL: (partial(write_htj2k, uid.HTJ2KLosslessRPCL), lambda: np.array(129), 0),
    uid.HTJ2K: (partial(write_htj2k, uid.HTJ2K), lambda: np.array(129), 0),
}


@pytest.mark.parametrize("syntax", PROVEN_BY, ids=lambda syntax: uid.UID(syntax).keyword)
def test_pixels_are_read_from_every_transfer_syntax(syntax: str, tmp_path: Path) -> None:
    write, shows, off = PROVEN_BY[syntax]
    path = write(tmp_path)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    read = read_pixels(path)
    if syntax == uid.JPEGExtended12Bit:
        read = read[420, 140]
    assert np.abs(read.astype(int) - shows().astype(int)).max() <= off


def is_decoded_by_pydicom(syntax: uid.UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def test_every_syntax_that_pydicom_decodes_is_tested() -> None:
    assert set(filter(is_decoded_by_pydicom, uid.AllTransferSyntaxes)) == set(PROVEN_BY)
    assert all(dicom.list_codecs().values())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_full_bytes_are_unchanged_and_fewer_bits_are_shifted_up(kind: type, tmp_path: Path) -> None:
    pixels = (PIXELS * 16).astype(kind)
    read = read_pixels(save_dicom(build_dataset(pixels, bits=8 * pixels.itemsize), tmp_path))
    assert read.dtype == kind
    np.testing.assert_array_equal(read, pixels)
    ten = read_pixels(save_dicom(build_dataset(PIXELS >> 2, bits=10), tmp_path))
    np.testing.assert_array_equal(ten >> 6, PIXELS >> 2)
    eight = read_pixels(save_dicom(build_dataset(PIXELS >> 4, bits=8), tmp_path))
    np.testing.assert_array_equal(eight, (PIXELS >> 4) * 257)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_file_without_preamble_or_meta_group_is_read(syntax: str, tmp_path: Path) -> None:
    content = write_plain(syntax, tmp_path).read_bytes()
    whole = 144 + int.from_bytes(content[140:144], "little")
    path = tmp_path / "bare"
    for start in (128 + 4, whole):
        path.write_bytes(content[start:])
        np.testing.assert_array_equal(read_pixels(path), SHOWN)


def test_frame_in_several_fragments_is_read(tmp_path: Path) -> None:
    made = build_compressed(uid.JPEGLosslessSV1, encode_jpeg_lossless(SMOOTH), pixels=SMOOTH)
    made.PixelData = encapsulate([encode_jpeg_lossless(SMOOTH)], fragments_per_frame=3)
    np.testing.assert_array_equal(read_pixels(save_dicom(made, tmp_path)), SHOWN)


def make_grey_channels(photometric: str) -> np.ndarray:
    grey = PIXELS.astype(np.uint8)
    neutral = np.full_like(grey, 128)
    return np.dstack([grey, neutral, neutral] if "YBR" in photometric else [grey] * 3)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_grey_saved_as_colour_is_read_and_real_colour_is_refused(photometric: str, tmp_path: Path) -> None:
    channels = make_grey_channels(photometric)
    np.testing.assert_array_equal(
        read_pixels(save_dicom(build_colour(channels, photometric), tmp_path)), PIXELS.astype(np.uint8)
    )
    channels[7, 7, 2] ^= 64
    with pytest.raises(DataError, match="colour"):
        read_pixels(save_dicom(build_colour(channels, photometric), tmp_path))


def test_black_constant_and_tiny_images_are_read(tmp_path: Path) -> None:
    for pixels in (np.zeros((5, 4), np.uint16), np.full((5, 4), 77, np.uint16), np.array([[9]], np.uint16)):
        np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(pixels), tmp_path)), pixels << 4)


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
