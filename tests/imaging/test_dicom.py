"""A mammogram's pixels come out as they were put in, whatever the file's form; anything else is refused in words."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from tfm.core.errors import DataError
from tfm.imaging import dicom
from tfm.imaging.dicom import read_pixels

PIXELS = np.random.default_rng(1).integers(0, 4096, (40, 30)).astype(np.uint16)


def dataset(pixels: np.ndarray = PIXELS, syntax: str = ExplicitVRLittleEndian) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = 8 * pixels.itemsize
    made.BitsStored = made.BitsAllocated if pixels.itemsize == 1 else 12
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, 0
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    return made


def saved(made: pydicom.Dataset, folder: Path) -> Path:
    path = folder / "mammogram.dcm"
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_uncompressed_pixels_come_back(syntax: str, kind: type, tmp_path: Path) -> None:
    pixels = (PIXELS % 256).astype(kind)
    read = read_pixels(saved(dataset(pixels, syntax), tmp_path))
    assert read.dtype == kind
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_losslessly_compressed_pixels_come_back(syntax: str, tmp_path: Path) -> None:
    pixels = np.tile(PIXELS, (3, 4))
    made = dataset(pixels)
    made.compress(syntax)
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), pixels)


def jpeg_lossless(pixels: np.ndarray) -> bytes:
    """ITU T.81 process 14, selection value 1: each pixel as its difference from the one before, every category of
    differences under a code of 5 bits. No library here writes what most mammography units do."""
    first_column = np.r_[2**15, pixels[:-1, 0].astype(int)]
    differences = np.diff(pixels.astype(int), prepend=first_column[:, None])
    bits = ""
    for difference in differences.ravel().tolist():
        category = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + 2**category - 1
        bits += f"{category:05b}" + (f"{value:0{category}b}" if category else "")
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    codes = bytes([0, 0, 0, 0, 17]) + bytes(11) + bytes(range(17))
    height, width = pixels.shape
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHB3B", 11, 16, height, width, 1, 1, 0x11, 0),
            b"\xff\xc4" + struct.pack(">HB", 3 + len(codes), 0) + codes,
            b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 1, 0, 0),
            scan + b"\xff\xd9",
        ]
    )


def test_jpeg_lossless_the_usual_form_of_mammograms_comes_back(tmp_path: Path) -> None:
    made = dataset()
    made.BitsStored, made.HighBit = 16, 15
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    made.PixelData = encapsulate([jpeg_lossless(PIXELS)])
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), PIXELS)


def test_jpeg_ls_and_rle_files_of_one_image_give_one_image() -> None:
    by_jpeg_ls, by_rle = (
        get_testdata_file(name, download=False) for name in ("MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm")
    )
    np.testing.assert_array_equal(read_pixels(Path(str(by_jpeg_ls))), read_pixels(Path(str(by_rle))))


def test_monochrome1_is_turned_so_that_brighter_is_denser(tmp_path: Path) -> None:
    made = dataset()
    made.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), 4095 - PIXELS)


def test_signed_values_count_from_their_least(tmp_path: Path) -> None:
    made = dataset((PIXELS.astype(np.int32) - 2048).astype(np.int16))
    made.PixelRepresentation, made.BitsStored, made.HighBit = 1, 16, 15
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), PIXELS - PIXELS.min())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png_pixels_come_back(kind: type, tmp_path: Path) -> None:
    pixels = (PIXELS % 256).astype(kind)
    cv2.imwrite(str(tmp_path / "mammogram.PNG"), pixels)
    read = read_pixels(tmp_path / "mammogram.PNG")
    assert read.dtype == kind
    np.testing.assert_array_equal(read, pixels)


def colour(made: pydicom.Dataset) -> None:
    made.PhotometricInterpretation, made.SamplesPerPixel, made.PlanarConfiguration = "RGB", 3, 0


def frames(made: pydicom.Dataset) -> None:
    made.NumberOfFrames, made.PixelData = 2, 2 * made.PixelData


def huge(made: pydicom.Dataset) -> None:
    made.Rows, made.Columns = 60000, 60000


def cut(made: pydicom.Dataset) -> None:
    made.PixelData = made.PixelData[: len(made.PixelData) // 2]


def report(made: pydicom.Dataset) -> None:
    del made.PixelData


def deep(made: pydicom.Dataset) -> None:
    made.BitsAllocated, made.BitsStored, made.HighBit = 32, 32, 31


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (colour, "colour"),
        (frames, "2 frames"),
        (huge, "60000 × 60000"),
        (cut, "less than expected"),
        (report, "no image"),
        (deep, "32 bits"),
    ],
)
def test_what_is_no_whole_grey_mammogram_is_refused_by_name(
    damage: Callable[[pydicom.Dataset], None], reason: str, tmp_path: Path
) -> None:
    made = dataset()
    damage(made)
    path = saved(made, tmp_path)
    with pytest.raises(DataError, match=reason) as refused:
        read_pixels(path)
    assert str(path) in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("suffix", [".dcm", ".png"])
def test_a_file_cut_anywhere_is_refused_and_never_read_as_part_black(suffix: str, tmp_path: Path) -> None:
    whole = saved(dataset(), tmp_path).read_bytes() if suffix == ".dcm" else cv2.imencode(".png", PIXELS)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    for end in np.linspace(0, len(whole) - 16, 40).astype(int):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            read_pixels(path)


@pytest.mark.filterwarnings("ignore:End of file reached")
def test_a_cut_compressed_file_is_refused(tmp_path: Path) -> None:
    made = dataset()
    made.compress(RLELossless)
    path = saved(made, tmp_path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError):
        read_pixels(path)


def test_missing_foreign_and_colour_png_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pixels(tmp_path / "absent.dcm")
    (tmp_path / "text.dcm").write_text("not a film")
    with pytest.raises(DataError, match="not a DICOM"):
        read_pixels(tmp_path / "text.dcm")
    (tmp_path / "text.png").write_text("not a film")
    with pytest.raises(DataError, match="not a PNG"):
        read_pixels(tmp_path / "text.png")
    cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="colour"):
        read_pixels(tmp_path / "colour.png")


def test_a_png_that_claims_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "MOST_PIXELS", 100)
    cv2.imwrite(str(tmp_path / "large.png"), PIXELS)
    with pytest.raises(DataError, match="claims 40 × 30"):
        read_pixels(tmp_path / "large.png")
