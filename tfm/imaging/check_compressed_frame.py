"""Check a compressed frame against the file's header before it is decoded.
Decoders trust the stream: they fill missing parts with grey and allocate whatever size it claims."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydicom import uid

from tfm.imaging.reader_common import UnreadableError

_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SIZE_OF_JPEG_2000 = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"


class FrameHeader(NamedTuple):
    rows: int
    columns: int
    samples: int
    bits: int


def check_compressed_frame(
    stream: bytes, syntax: uid.UID, rows: int, columns: int, samples: int, max_bits: int
) -> None:
    """Raise an error unless the stream has the size the DICOM header claims and is complete."""
    if syntax == uid.RLELossless:
        return  # RLE has no header of its own; its decoder checks the length
    header = _read_jpeg_2000_header(stream) if syntax in uid.JPEG2000TransferSyntaxes else _read_jpeg_header(stream)
    if (header.rows, header.columns, header.samples) != (rows, columns, samples):
        raise UnreadableError(
            f"the header claims {rows} × {columns} × {samples}, "
            f"but the compressed pixels are {header.rows} × {header.columns} × {header.samples}"
        )
    if header.bits > max_bits:
        raise UnreadableError(f"the compressed pixels have {header.bits} bits, but the header allows only {max_bits}")
    if not stream.rstrip(b"\0\xff").endswith(_END):
        raise UnreadableError("the compressed pixels are truncated")


def _read_jpeg_2000_header(stream: bytes) -> FrameHeader:
    start = stream.find(_SIZE_OF_JPEG_2000)
    if start < 0 or len(stream) < start + 43:
        raise UnreadableError("the compressed pixels are damaged")
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    (samples,) = struct.unpack_from(">H", stream, start + 40)
    return FrameHeader(bottom - top, right - left, samples, (stream[start + 42] & 0x7F) + 1)


def _read_jpeg_header(stream: bytes) -> FrameHeader:
    """Read the frame header of any kind of JPEG, including JPEG-LS."""
    start = 2
    while start + 10 <= len(stream) and stream[start] == 0xFF:  # each round advances by at least one byte
        marker = stream[start + 1]
        if marker in _START_OF_FRAME:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, start + 4)
            return FrameHeader(rows, columns, samples, bits)
        start += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", stream, start + 2)[0]
    raise UnreadableError("the compressed pixels are damaged")
