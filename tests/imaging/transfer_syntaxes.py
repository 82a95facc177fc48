"""A DICOM file of every transfer syntax, and what proves that its pixels are read rightly."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file

from tests.imaging.dicom_files import (
    build_compressed,
    build_dataset,
    encode_htj2k,
    encode_jpeg_lossless,
    save_dicom,
)
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
