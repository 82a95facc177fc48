"""A mammogram's pixels come out of DICOM as they were put in, whatever the syntax; what is not whole is refused."""

from __future__ import annotations

import contextlib
import io
import struct
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

from tests.imaging.dicom_files import PIXELS, colour, compressed, dataset, ht_jpeg_2000, jpeg_lossless, saved
from tfm.core.errors import DataError
from tfm.imaging import dicom
from tfm.imaging.read_image import read_image, read_pixels

SMOOTH = (np.add.outer(np.arange(64), np.arange(48)) * 37).astype(np.uint16)  # (64, 48), 12 bits in 16
SHOWN = SMOOTH << 4
STAIRS = np.repeat([65535, 32765, 16385, 4095, 1025, 255, 65, 15, 5, 0], 5)[:, None]


def shipped(name: str) -> Path:
    """One of the files that come with pydicom."""
    return Path(str(get_testdata_file(name, download=False)))


def plain(syntax: str, folder: Path) -> Path:
    pixels = SMOOTH.byteswap() if syntax == uid.ExplicitVRBigEndian else SMOOTH
    return saved(dataset(pixels, syntax), folder)


def encoded(syntax: str, folder: Path, **options: object) -> Path:
    made = dataset(SMOOTH)
    made.compress(syntax, **options)
    return saved(made, folder)


def jpeg(folder: Path) -> Path:
    content = io.BytesIO()
    Image.fromarray((SMOOTH >> 4).astype(np.uint8)).save(content, "JPEG", quality=95)
    return saved(compressed(uid.JPEGBaseline8Bit, content.getvalue(), pixels=np.zeros(SMOOTH.shape, np.uint8)), folder)


def lossless(syntax: str, selection: int, folder: Path) -> Path:
    return saved(compressed(syntax, jpeg_lossless(SMOOTH, selection), pixels=SMOOTH), folder)


def ht(syntax: str, folder: Path) -> Path:
    return saved(compressed(syntax, ht_jpeg_2000(), pixels=np.zeros((1, 1), np.uint8)), folder)


def same_as_rle() -> np.ndarray:
    return read_pixels(shipped("MR_small_RLE.dcm"))


# Each transfer syntax: its file, what that shows, and by how much it may be off.
Proof = tuple[Callable[[Path], Path], Callable[[], np.ndarray], int]
PROVEN_BY: dict[str, Proof] = {
    uid.ImplicitVRLittleEndian: (partial(plain, uid.ImplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.ExplicitVRLittleEndian: (partial(plain, uid.ExplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.ExplicitVRBigEndian: (partial(plain, uid.ExplicitVRBigEndian), lambda: SHOWN, 0),
    uid.DeflatedExplicitVRLittleEndian: (partial(plain, uid.DeflatedExplicitVRLittleEndian), lambda: SHOWN, 0),
    uid.RLELossless: (partial(encoded, uid.RLELossless), lambda: SHOWN, 0),
    uid.JPEGBaseline8Bit: (jpeg, lambda: SMOOTH >> 4, 3),
    # DCMTK and GDCM read 244 there, of 12 bits
    uid.JPEGExtended12Bit: (lambda _: shipped("JPGExtended.dcm"), lambda: np.array(244 << 4), 0),
    uid.JPEGLossless: (partial(lossless, uid.JPEGLossless, 2), lambda: SHOWN, 0),
    uid.JPEGLosslessSV1: (partial(lossless, uid.JPEGLosslessSV1, 1), lambda: SHOWN, 0),
    uid.JPEGLSLossless: (lambda _: shipped("MR_small_jpeg_ls_lossless.dcm"), same_as_rle, 0),
    uid.JPEGLSNearLossless: (lambda _: shipped("JPEGLSNearLossless_16.dcm"), lambda: STAIRS, 0),
    uid.JPEG2000Lossless: (partial(encoded, uid.JPEG2000Lossless), lambda: SHOWN, 0),
    uid.JPEG2000: (partial(encoded, uid.JPEG2000, j2k_psnr=[90]), lambda: SHOWN, 32),
    uid.HTJ2KLossless: (partial(ht, uid.HTJ2KLossless), lambda: np.array(129), 0),
    uid.HTJ2KLosslessRPCL: (partial(ht, uid.HTJ2KLosslessRPCL), lambda: np.array(129), 0),
    uid.HTJ2K: (partial(ht, uid.HTJ2K), lambda: np.array(129), 0),
}


@pytest.mark.parametrize("syntax", PROVEN_BY, ids=lambda syntax: uid.UID(syntax).keyword)
def test_pixels_come_back_from_each_syntax(syntax: str, tmp_path: Path) -> None:
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


def test_every_syntax_that_pydicom_decodes_is_in_the_table() -> None:
    assert set(filter(is_decoded_by_pydicom, uid.AllTransferSyntaxes)) == set(PROVEN_BY)
    assert all(dicom.list_codecs().values())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_whole_bytes_are_untouched_and_fewer_bits_are_shifted_up_exactly(kind: type, tmp_path: Path) -> None:
    pixels = (PIXELS * 16).astype(kind)
    read = read_pixels(saved(dataset(pixels, bits=8 * pixels.itemsize), tmp_path))
    assert read.dtype == kind
    np.testing.assert_array_equal(read, pixels)
    ten = read_pixels(saved(dataset(PIXELS >> 2, bits=10), tmp_path))
    np.testing.assert_array_equal(ten >> 6, PIXELS >> 2)
    eight = read_pixels(saved(dataset(PIXELS >> 4, bits=8), tmp_path))
    np.testing.assert_array_equal(eight, (PIXELS >> 4) * 257)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_file_without_preamble_and_meta_group_is_read(syntax: str, tmp_path: Path) -> None:
    content = plain(syntax, tmp_path).read_bytes()
    whole = 144 + int.from_bytes(content[140:144], "little")
    path = tmp_path / "bare"
    for start in (128 + 4, whole):
        path.write_bytes(content[start:])
        np.testing.assert_array_equal(read_pixels(path), SHOWN)


def test_a_compressed_frame_in_fragments_is_put_together(tmp_path: Path) -> None:
    made = compressed(uid.JPEGLosslessSV1, jpeg_lossless(SMOOTH), pixels=SMOOTH)
    made.PixelData = encapsulate([jpeg_lossless(SMOOTH)], fragments_per_frame=3)
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), SHOWN)


def grey_as(photometric: str) -> np.ndarray:
    grey = PIXELS.astype(np.uint8)
    neutral = np.full_like(grey, 128)
    return np.dstack([grey, neutral, neutral] if "YBR" in photometric else [grey] * 3)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_grey_saved_as_colour_is_grey_and_real_colour_is_refused(photometric: str, tmp_path: Path) -> None:
    channels = grey_as(photometric)
    np.testing.assert_array_equal(read_pixels(saved(colour(channels, photometric), tmp_path)), PIXELS.astype(np.uint8))
    channels[7, 7, 2] ^= 64
    with pytest.raises(DataError, match="colour"):
        read_pixels(saved(colour(channels, photometric), tmp_path))


def test_black_constant_and_tiny_images_are_what_they_are(tmp_path: Path) -> None:
    for pixels in (np.zeros((5, 4), np.uint16), np.full((5, 4), 77, np.uint16), np.array([[9]], np.uint16)):
        np.testing.assert_array_equal(read_pixels(saved(dataset(pixels), tmp_path)), pixels << 4)


def changed(**said: object) -> Callable[[pydicom.Dataset], None]:
    def change(made: pydicom.Dataset) -> None:
        for name, value in said.items():
            setattr(made, name, value)

    return change


def cut(made: pydicom.Dataset) -> None:
    made.PixelData = made.PixelData[: len(made.PixelData) // 2]


def long(made: pydicom.Dataset) -> None:
    made.PixelData += bytes(200)


def report(made: pydicom.Dataset) -> None:
    del made.PixelData


def decimal(made: pydicom.Dataset) -> None:
    del made.PixelData
    made.FloatPixelData = PIXELS.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (changed(PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0), "cut"),
        (changed(PhotometricInterpretation="CMYK", SamplesPerPixel=4), "colour"),
        (changed(PhotometricInterpretation="PALETTE COLOR"), "colour"),
        (changed(Rows=60000, Columns=60000), "60000 × 60000"),
        (changed(NumberOfFrames=10**6), "1000000"),
        (changed(NumberOfFrames=2), "cut"),
        (changed(NumberOfFrames=-3), "-3 frames"),
        (changed(Rows=0), "no image"),
        (cut, "cut"),
        (long, "2400 bytes"),
        (report, "no image"),
        (decimal, "decimal"),
        (changed(BitsAllocated=32, BitsStored=32, HighBit=31), "32 bits"),
        (changed(BitsAllocated=1, BitsStored=1, HighBit=0), "1 bits"),
        (changed(BitsStored=10, HighBit=9), "above 1023"),
        (changed(HighBit=15), "highest"),
    ],
)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_what_is_no_whole_grey_mammogram_is_refused_by_name(
    damage: Callable[[pydicom.Dataset], None], reason: str, syntax: str, tmp_path: Path
) -> None:
    made = dataset(syntax=syntax)
    damage(made)
    path = saved(made, tmp_path)
    with pytest.raises(DataError, match=reason) as refused:
        read_pixels(path)
    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


ALL_BUT_TINY = [syntax for syntax in PROVEN_BY if "HTJ2K" not in uid.UID(syntax).keyword]


@pytest.mark.parametrize("syntax", ALL_BUT_TINY, ids=lambda syntax: uid.UID(syntax).keyword)
def test_a_file_cut_anywhere_is_refused_and_never_read_as_part_black(syntax: str, tmp_path: Path) -> None:
    whole, path = PROVEN_BY[syntax][0](tmp_path).read_bytes(), tmp_path / "cut.dcm"
    after_pixels = len(whole) - 2  # at least a pixel
    if uid.UID(syntax).is_encapsulated:  # shipped files go on after the delimiter of the frames
        after_pixels = whole.rindex(b"\xfe\xff\xdd\xe0")
    for end in np.linspace(0, after_pixels, 25).astype(int):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            read_pixels(path)


STREAMS = [syntax for syntax in ALL_BUT_TINY if uid.UID(syntax).is_encapsulated]


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: uid.UID(syntax).keyword)
def test_a_compressed_stream_cut_in_a_whole_file_is_refused(syntax: str, tmp_path: Path) -> None:
    made = pydicom.dcmread(PROVEN_BY[syntax][0](tmp_path))
    stream = get_frame(made.PixelData, 0, number_of_frames=1)
    for share in (0.05, 0.5, 0.9, 0.98):
        made.PixelData = encapsulate([stream[: int(len(stream) * share) // 2 * 2]])
        path = saved(made, tmp_path)
        with pytest.raises(DataError):
            read_pixels(path)


def test_runs_that_go_on_after_the_last_pixel_make_no_panic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """pylibjpeg's decoder ends in a panic, which is no Exception, and writes of it over the screen."""
    segments = struct.pack("<16I", 2, 64, 66, *[0] * 13)
    for runs in (b"\x81\x07\x81\x07", b"\xf1\x07\x0f" + bytes(31)):  # 128 times 7; 16 values and more
        made = compressed(uid.RLELossless, segments + runs, pixels=np.zeros((4, 4), np.uint16))
        with contextlib.suppress(DataError):
            assert read_pixels(saved(made, tmp_path)).shape == (4, 4)
    assert capfd.readouterr().err == ""


def test_a_stream_that_claims_another_size_than_the_header_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    stream = jpeg_lossless(SMOOTH)
    frame_header = stream.index(b"\xff\xc3")
    huge = stream[: frame_header + 5] + b"\xff\xff\xff\xff" + stream[frame_header + 9 :]
    for made in (
        compressed(uid.JPEGLosslessSV1, huge, pixels=SMOOTH),
        compressed(uid.JPEGLosslessSV1, stream, pixels=SMOOTH[1:]),
        compressed(uid.JPEGLosslessSV1, stream, pixels=SMOOTH.astype(np.uint8)),
        compressed(uid.HTJ2K, ht_jpeg_2000(), pixels=np.zeros((2, 1), np.uint8)),
    ):
        with pytest.raises(DataError, match="compressed pixels"):
            read_pixels(saved(made, tmp_path))


def test_compressed_pixels_under_a_plain_syntax_and_unknown_syntaxes_are_refused(tmp_path: Path) -> None:
    content = saved(compressed(uid.RLELossless, b"x" * 80), tmp_path).read_bytes()
    path = tmp_path / "odd.dcm"
    plain_uid = uid.ExplicitVRLittleEndian.encode()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.5\0", plain_uid + b"\0" * (20 - len(plain_uid))))
    with pytest.raises(DataError, match="compressed, and the header"):
        read_pixels(path)
    with pytest.raises(DataError, match="MPEG2"):
        read_pixels(saved(compressed(uid.MPEG2MPML, b"x" * 80), tmp_path))


def test_a_file_that_inflates_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain(uid.DeflatedExplicitVRLittleEndian, tmp_path)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    bomb = zlib.compressobj(9, wbits=-15)
    path.write_bytes(content[:start] + bomb.compress(bytes(2**24)) + bomb.flush())
    monkeypatch.setattr(dicom, "MAX_TOTAL_PIXELS", 2**20)
    with pytest.raises(DataError, match="inflates"):
        read_pixels(path)


def test_a_real_film_is_read_as_pydicom_reads_it(shared_data: Path) -> None:
    film = next(path for path in sorted((shared_data / "tree").rglob("*.dcm")) if path.stat().st_size > 10**7)
    read = read_image(film)
    assert read.pixels.shape == (4006, 1846)
    np.testing.assert_array_equal(read.pixels, pydicom.dcmread(film).pixel_array)
