"""Read a mammogram or mask from a file of any supported format, or raise a DataError that says why not.
What headers say about patient and view is read in `tfm.data`."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import numpy as np
import xxhash

from tfm.core.errors import DataError
from tfm.imaging.dicom import is_dicom, read_dicom
from tfm.imaging.image_files import read_jpeg, read_pgm, read_png, read_tiff
from tfm.imaging.reader_common import DOWNLOAD_AGAIN, DecodedImage, Frame, UnreadableError

_HEAD = 132  # bytes that identify a format

Reader = Callable[[BufferedReader, Frame], DecodedImage]

_READERS: dict[bytes, Reader] = {
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
    """(H, W) uint8 or uint16 over the full range of its type, brighter is denser; may be read-only."""
    return read_image(path, frame).pixels


def read_image(path: Path, frame: Frame = "middle") -> DecodedImage:
    try:
        with warnings.catch_warnings(action="ignore"):  # what matters in them becomes an error below
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block for ever
                reason = "a folder, not a file" if path.is_dir() else "not a plain file"
                raise UnreadableError(reason, "choose an image file")
            with open(path, "rb") as file:
                head = file.read(_HEAD)
                file.seek(0)
                return _select_reader(head)(file, frame)
    except UnreadableError as error:
        raise DataError(f"{path}: {error}", hint=error.hint) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path, or organize the download again") from None
    except PermissionError:
        raise DataError(
            f"{path}: you may not read this file", hint="change its permissions, or leave the image out"
        ) from None
    except MemoryError:
        raise DataError(
            f"{path}: not enough memory for this image", hint="close other programs, or leave the image out"
        ) from None
    except Exception as error:  # parsers, decoders and disks raise all kinds of errors about broken files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the image cannot be read: {reason}", hint=DOWNLOAD_AGAIN) from error


def explain_unknown_format(path: Path) -> str:
    """Say why a file is not an image, judged by its first bytes; empty if it is one."""
    try:
        with open(path, "rb") as file:
            _select_reader(file.read(_HEAD))
    except UnreadableError as error:
        return str(error)
    except OSError as error:
        return error.strerror or "cannot be read"
    return ""


def _select_reader(head: bytes) -> Reader:
    if is_dicom(head):
        return read_dicom
    for magic, reader in _READERS.items():
        if head.startswith(magic):
            return reader
    if not head:
        raise UnreadableError("the file is empty")
    raise UnreadableError("not an image file", "use a DICOM, PNG, JPEG, TIFF or PGM file; its suffix does not matter")


def hash_pixels(pixels: np.ndarray) -> str:
    """Hash the pixels, independent of the file format.

    128 bits, not cryptographic: a cryptographic hash would take as long as preprocessing.
    """
    digest = xxhash.xxh3_128(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def has_at_most_two_values(pixels: np.ndarray) -> bool:
    """Whether pixels look like a mask: 99 % of them near the lowest or the highest value, as JPEG blurs edges."""
    low, high = int(pixels.min()), int(pixels.max())
    tolerance = (high - low) / 8
    return bool(((pixels <= low + tolerance) | (pixels >= high - tolerance)).mean() >= 0.99)
