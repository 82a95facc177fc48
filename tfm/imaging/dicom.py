"""Pixels of a mammogram from a DICOM, PNG or JPEG file, or a DataError that says why not. Never half an image.

What headers say about patient and view is the data floor's matter.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from tfm.core.errors import DataError

MOST_PIXELS = 2**28  # 10 × the largest film; a header that claims more is broken or hostile
DOWNLOAD_AGAIN = "download this file again, or leave the image out"
ONE_GREY_IMAGE = "give a mammogram: one grey image of 8 or 16 bit in the file"

_SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG": uid.JPEGBaseline8Bit,
    "JPEG Lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}


def read_pixels(path: Path) -> np.ndarray:
    """(H, W) uint8 or uint16 as stored, brighter is denser."""
    try:
        return _READERS.get(path.suffix.lower(), _read_dicom)(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file", hint="check the path, or organize the download again"
        ) from None
    except InvalidDicomError:
        raise DataError(f"{path}: not a DICOM file", hint="give a .dcm, .png or .jpg file") from None
    except (DataError, PermissionError):
        raise
    except Exception as error:  # parsers and decoders raise whatever they like about broken files
        raise DataError(f"{path}: the image cannot be read: {error}", hint=DOWNLOAD_AGAIN) from error


def has_at_most_two_values(pixels: np.ndarray) -> bool:
    """As a lesion mask has, or an empty one; what JPEG blurs at its edges is forgiven."""
    low, high = int(pixels.min()), int(pixels.max())
    near = (high - low) / 8
    return bool(((pixels <= low + near) | (pixels >= high - near)).mean() >= 0.99)


def _read_dicom(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    _check_header(path, dataset)
    pixels = dataset.pixel_array  # raises where bytes are missing
    unsigned = np.uint8 if pixels.itemsize == 1 else np.uint16
    if pixels.dtype.kind == "i":  # signed values count from their least
        pixels = (pixels.astype(np.int32) - pixels.min()).astype(unsigned)
    if dataset.PhotometricInterpretation == "MONOCHROME1":  # 0 is white
        white = max(2 ** int(dataset.BitsStored) - 1, int(pixels.max()))
        pixels = (white - pixels.astype(np.int32)).astype(unsigned)
    return pixels


def _check_header(path: Path, dataset: pydicom.Dataset) -> None:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits = int(dataset.get("BitsAllocated") or 0)
    photometric = dataset.get("PhotometricInterpretation", "no photometric interpretation")
    if "PixelData" not in dataset or not rows or not columns:
        raise DataError(f"{path}: there is no image in the file", hint=DOWNLOAD_AGAIN)
    if rows * columns * frames > MOST_PIXELS:
        raise DataError(f"{path}: the header claims {rows} × {columns} × {frames} pixels", hint=DOWNLOAD_AGAIN)
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise DataError(f"{path}: a colour image ({photometric})", hint=ONE_GREY_IMAGE)
    if frames > 1:
        raise DataError(f"{path}: {frames} frames, as tomosynthesis has", hint=ONE_GREY_IMAGE)
    if bits not in (8, 16):
        raise DataError(f"{path}: {bits} bits a pixel", hint=ONE_GREY_IMAGE)


def _read_png(path: Path) -> np.ndarray:
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise DataError(f"{path}: not a PNG file", hint=DOWNLOAD_AGAIN)
    width, height = struct.unpack(">II", content[16:24])
    if width * height > MOST_PIXELS:
        raise DataError(f"{path}: the header claims {height} × {width} pixels", hint=DOWNLOAD_AGAIN)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"{path}: the file is cut or damaged", hint=DOWNLOAD_AGAIN)
    if pixels.ndim != 2:
        raise DataError(f"{path}: a colour image", hint=ONE_GREY_IMAGE)
    return pixels


def _read_jpeg(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise DataError(f"{path}: the header claims {image.height} × {image.width} pixels", hint=DOWNLOAD_AGAIN)
        if image.mode != "L":
            raise DataError(f"{path}: a colour image ({image.mode})", hint=ONE_GREY_IMAGE)
        return np.asarray(image)  # raises where bytes are missing, which OpenCV does not


_READERS = {".png": _read_png, ".jpg": _read_jpeg, ".jpeg": _read_jpeg}


def codecs() -> dict[str, bool]:
    """Each transfer syntax a mammogram may come in, and whether this machine can decode it."""
    return {name: get_decoder(syntax).is_available for name, syntax in _SYNTAXES.items()}
