"""Check a compressed frame against the file's header before it is decoded, and against its pixels after that.
Decoders trust the stream: they fill missing parts with grey and allocate whatever size it claims."""

from __future__ import annotations

import numpy as np
from pydicom import uid

from tfm.imaging.jpeg_2000_structure import Jpeg2000Structure, parse_jpeg_2000
from tfm.imaging.jpeg_structure import LOSSLESS, JpegStructure, check_lossless_pixels, parse_jpeg
from tfm.imaging.reader_common import UnreadableError

Structure = JpegStructure | Jpeg2000Structure

_RLE_RATIO = 64  # two bytes stand for at most 128
_PIXELS_PER_BYTE = 2048  # far more than any mammogram has, even compressed with loss
_MASK_PIXELS = 2**25  # a mask of 8 bits is almost empty, and has at most the size of a mammogram


def check_compressed_frame(
    stream: bytes, syntax: uid.UID, rows: int, columns: int, samples: int, max_bits: int
) -> Structure | None:
    """Refuse a stream that is incomplete or has another size than the DICOM header claims; return its structure."""
    if syntax == uid.RLELossless:  # it has no header of its own; its decoder checks the length
        _check_length(len(stream), rows * columns * samples * max_bits // 8, _RLE_RATIO)
        return None
    found = parse_jpeg_2000(stream) if syntax in uid.JPEG2000TransferSyntaxes else parse_jpeg(stream)
    if (found.rows, found.columns, found.samples) != (rows, columns, samples):
        raise UnreadableError(
            f"the header claims {rows} × {columns} × {samples}, "
            f"but the compressed pixels are {found.rows} × {found.columns} × {found.samples}"
        )
    if found.bits > max_bits:
        raise UnreadableError(f"the compressed pixels have {found.bits} bits, but the header allows only {max_bits}")
    if isinstance(found, JpegStructure) and found.frame == LOSSLESS:
        _check_length(len(stream), rows * columns * samples, 8)  # a bit for each pixel at least
    elif max_bits > 8 or rows * columns > _MASK_PIXELS:
        _check_length(len(stream), rows * columns * samples, _PIXELS_PER_BYTE)
    return found


def _check_length(length: int, pixels: int, pixels_per_byte: int) -> None:
    if length * pixels_per_byte < pixels:
        raise UnreadableError(f"{length} bytes of compressed pixels cannot hold an image of this size")


def check_decoded_pixels(pixels: np.ndarray, structure: Structure | None) -> None:
    """Raise an error if the pixels are not what the whole stream encodes. Only JPEG Lossless can be checked so."""
    if (
        isinstance(structure, JpegStructure)
        and (structure.frame, structure.samples) == (LOSSLESS, 1)
        and len(structure.scans) == 1
        and 1 <= structure.scans[0].predictor <= 7
    ):
        check_lossless_pixels(structure, pixels)
