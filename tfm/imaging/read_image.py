"""The one door to pixels: a mammogram or mask from a file of any form, or a DataError that says why not.

What headers say about patient and view is the data floor's matter.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import numpy as np

from tfm.core.errors import DataError
from tfm.imaging.decoded_image import DOWNLOAD_AGAIN, DecodedImage, Frame, UnreadableError
from tfm.imaging.dicom import is_dicom, read_dicom
from tfm.imaging.image_files import read_jpeg, read_pgm, read_png, read_tiff

_HEAD = 132  # bytes, by which the form of a file is told

Reader = Callable[[BufferedReader, Frame], DecodedImage]

_FORMS: dict[bytes, Reader] = {
    b"\x89PNG\r\n\x1a\n": read_png,
    b"\xff\xd8\xff": read_jpeg,
    b"P2": read_pgm,
    b"P5": read_pgm,
    b"II*\0": read_tiff,
    b"MM\0*": read_tiff,
    b"II+\0": read_tiff,
    b"MM\0+": read_tiff,
}


def read_pixels(path: Path, frame: Frame = "middle") -> np.ndarray:
    """(H, W) uint8 or uint16 over the whole range of its type, brighter is denser; may be read-only."""
    return read_image(path, frame).pixels


def read_image(path: Path, frame: Frame = "middle") -> DecodedImage:
    try:
        with warnings.catch_warnings(action="ignore"):  # what parsers mutter is either no matter or an error below
            return _read(path, frame)
    except UnreadableError as why:
        raise DataError(f"{path}: {why}", hint=why.hint) from None
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file", hint="check the path, or organize the download again"
        ) from None
    except PermissionError:
        raise DataError(
            f"{path}: you may not read this file", hint="change its permissions, or leave the image out"
        ) from None
    except MemoryError:
        raise DataError(
            f"{path}: too little memory for this image", hint="close other programs, or leave the image out"
        ) from None
    except Exception as error:  # parsers, decoders and disks raise whatever they like about broken files
        raise DataError(f"{path}: the image cannot be read: {_in_a_line(error)}", hint=DOWNLOAD_AGAIN) from error


def explain_unknown_format(path: Path) -> str:
    """Empty where a file begins as an image does; nothing more is read of it."""
    try:
        with open(path, "rb") as file:
            _reader(file.read(_HEAD))
    except UnreadableError as why:
        return str(why)
    except OSError as error:
        return error.strerror or "cannot be read"
    return ""


def _read(path: Path, frame: Frame) -> DecodedImage:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise UnreadableError("a folder, not a file" if path.is_dir() else "not a plain file", "give an image file")
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        file.seek(0)
        return _reader(head)(file, frame)


def _reader(head: bytes) -> Reader:
    if is_dicom(head):
        return read_dicom
    for magic, reader in _FORMS.items():
        if head.startswith(magic):
            return reader
    if not head:
        raise UnreadableError("the file is empty")
    raise UnreadableError("not an image file", "give a DICOM, PNG, JPEG, TIFF or PGM file, whatever its name ends in")


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def has_at_most_two_values(pixels: np.ndarray) -> bool:
    """As a lesion mask has, or an empty one; what JPEG blurs at its edges is forgiven."""
    low, high = int(pixels.min()), int(pixels.max())
    near = (high - low) / 8
    return bool(((pixels <= low + near) | (pixels >= high - near)).mean() >= 0.99)
