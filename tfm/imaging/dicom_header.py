"""Read the header of a DICOM file within bounds of time and memory, whatever the file contains.
A deflated file is inflated in steps, up to the size that its header claims. Pixels are decoded in `dicom`."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import pydicom
from pydicom import uid
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from tfm.imaging.reader_common import UnreadableError, check_size

UNDEFINED = 0xFFFF_FFFF  # the length of compressed pixels
PIXEL_TAGS = (0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010)  # float, double, whole numbers

# Bytes that are read until the header ends. CBIS-DDSM's have less than 2000; a million elements would take seconds.
_BLOCKS = (2**12, 2**16, 2**22)
_FIRST_GROUP = 0x0008_0000  # of what belongs in the header of an image
_GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"
_PIECE = 2**14  # bytes inflated at a time: at most 16 MB
_SLACK = 2**22  # bytes that a file may have after its pixels
_MAX_INFLATED = 2**29


def open_dicom(file: BinaryIO) -> BinaryIO:
    """Return the file itself, or the same image as an uncompressed file in memory if the file is deflated."""
    head = file.read(4096)
    file.seek(0)
    deflated, plain = uid.DeflatedExplicitVRLittleEndian.encode(), uid.ExplicitVRLittleEndian.encode()
    if deflated not in head or _GROUP_LENGTH not in head:
        return file
    after = head.index(_GROUP_LENGTH) + len(_GROUP_LENGTH) + 4
    meta = file.read(after + int.from_bytes(head[after - 4 : after], "little"))
    return io.BytesIO(_inflate(file, bytearray(meta.replace(deflated, plain.ljust(len(deflated), b"\0")))))


def _inflate(file: BinaryIO, inflated: bytearray) -> bytearray:
    """Append what is deflated in the rest of the file; refuse more than the header claims."""
    inflater, largest = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflater.eof and (piece := file.read(_PIECE)):
        inflated += inflater.decompress(piece)
        if not largest and (len(inflated) >= _BLOCKS[-1] or inflater.eof):
            largest = _compute_largest_size(inflated)
        if largest and len(inflated) > largest:
            raise UnreadableError("the file inflates to more than its header claims")
    if not inflater.eof:
        raise UnreadableError("the file is truncated")
    return inflated


def _compute_largest_size(inflated: bytearray) -> int:
    start = io.BytesIO(inflated)
    header = read_dicom_header(start)
    names = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
    rows, columns, frames, samples, bits = (int(header.get(name) or 1) for name in names)
    check_size(rows, columns, frames)
    return min(start.tell() + rows * columns * frames * samples * bits // 8 + _SLACK, _MAX_INFLATED)


def read_dicom_header(file: BinaryIO, tags: Sequence[str] = ()) -> pydicom.FileDataset:
    """Read all elements before the pixels, or only those with these tags. The file's position is where they end."""
    for size in _BLOCKS:
        file.seek(0)
        block = file.read(size)
        is_all, buffer = len(block) < size, io.BytesIO(block)
        try:
            header = _parse(buffer, tags)
        except Exception:
            if is_all:
                raise
            continue  # an element may go on after this block
        end = min(buffer.tell(), len(block))
        file.seek(end)
        if 0 in header or (end + 8 <= len(block) and not is_at_pixels(file, header)):
            raise UnreadableError("its header is damaged")
        if is_all or end + 8 <= len(block):
            return header
    raise UnreadableError(f"its header does not end within {_BLOCKS[-1]} bytes")


def _parse(buffer: io.BytesIO, tags: Sequence[str]) -> pydicom.FileDataset:
    def is_beyond(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag in PIXEL_TAGS or tag < _FIRST_GROUP

    with warnings.catch_warnings(action="ignore"):  # what matters in them is checked by who needs it
        return read_partial(buffer, is_beyond, force=True, specific_tags=[Tag(tag) for tag in tags])


def is_at_pixels(file: BinaryIO, header: pydicom.FileDataset) -> bool:
    """Whether the element at the file's position has the pixels. The position stays."""
    start = file.tell()
    group, element = struct.unpack("<HH" if header.original_encoding[1] else ">HH", file.read(4).ljust(4, b"\0"))
    file.seek(start)
    return (group << 16 | element) in PIXEL_TAGS


def count_remaining_bytes(file: BinaryIO) -> int:
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    return end - start


def read_fragments(file: BinaryIO, largest: int) -> bytes:
    """Read compressed pixels, which begin at the file's position, with the delimiter at their end."""
    start = file.tell()
    while True:
        item = file.read(8)
        if len(item) < 8:
            raise UnreadableError("the file is truncated: the end of its pixels is missing")
        group, element, length = struct.unpack("<HHI", item)
        if group != 0xFFFE or element not in (0xE000, 0xE0DD):
            raise UnreadableError("the compressed pixels are damaged")
        if element == 0xE0DD:
            break
        file.seek(length, os.SEEK_CUR)
    size = file.tell() - start
    if size > largest:
        raise UnreadableError(f"the compressed pixels have {size} bytes, more than the image itself")
    file.seek(start)
    return file.read(size)
