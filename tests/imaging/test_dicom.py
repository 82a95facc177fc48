"""Pixels are read from DICOM in every transfer syntax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from tests.imaging.dicom_files import (
    PIXELS,
    build_colour,
    build_compressed,
    build_dataset,
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
from tfm.imaging import dicom
from tfm.imaging.read_image import read_pixels


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
