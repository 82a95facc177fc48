"""What a compressed frame says of itself, held against the file's header before a decoder is let near it.

Decoders believe the stream: they fill what is missing with grey, and make room for whatever size it claims.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydicom import uid

from tfm.imaging.decoded_image import UnreadableError

_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SIZE_OF_JPEG_2000 = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"


class FrameHeader(NamedTuple):
    rows: int
    columns: int
    samples: int
    bits: int


def check_compressed_frame(
    stream: bytes, syntax: uid.UID, rows: int, columns: int, samples: int, most_bits: int
) -> None:
    if syntax == uid.RLELossless:
        return  # it has no header of its own, and its decoder counts
    size = _of_jpeg_2000(stream) if syntax in uid.JPEG2000TransferSyntaxes else _of_jpeg(stream)
    if (size.rows, size.columns, size.samples) != (rows, columns, samples):
        raise UnreadableError(
            f"the header says {rows} × {columns} × {samples}, "
            f"and its compressed pixels {size.rows} × {size.columns} × {size.samples}"
        )
    if size.bits > most_bits:
        raise UnreadableError(f"the compressed pixels have {size.bits} bits where the header has room for {most_bits}")
    if not stream.rstrip(b"\0\xff").endswith(_END):
        raise UnreadableError("the compressed pixels are cut")


def _of_jpeg_2000(stream: bytes) -> FrameHeader:
    start = stream.find(_SIZE_OF_JPEG_2000)
    if start < 0 or len(stream) < start + 43:
        raise UnreadableError("the compressed pixels are damaged")
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    (samples,) = struct.unpack_from(">H", stream, start + 40)
    return FrameHeader(bottom - top, right - left, samples, (stream[start + 42] & 0x7F) + 1)


def _of_jpeg(stream: bytes) -> FrameHeader:
    """JPEG of all kinds, and JPEG-LS."""
    start = 2
    while start + 10 <= len(stream) and stream[start] == 0xFF:
        marker = stream[start + 1]
        if marker in _START_OF_FRAME:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, start + 4)
            return FrameHeader(rows, columns, samples, bits)
        start += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", stream, start + 2)[0]
    raise UnreadableError("the compressed pixels are damaged")
