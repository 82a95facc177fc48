"""Walk the markers of a JPEG 2000 codestream: its size, and whether all tiles are there with all their bytes.
What is not found: bytes that were changed but neither lost nor added."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tfm.imaging.jpeg_structure import DAMAGED, TRUNCATED
from tfm.imaging.reader_common import UnreadableError

_START, _SIZE, _CODING, _TILE_PART, _END = b"\xff\x4f", b"\xff\x51", b"\xff\x52", b"\xff\x90", b"\xff\xd9"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "
_USUAL_BLOCKS = (
    2**16
)  # code blocks for which a decoder may take memory; more must be in the stream, a byte each at least


@dataclass(frozen=True)
class Jpeg2000Structure:
    rows: int
    columns: int
    samples: int
    bits: int


def parse_jpeg_2000(stream: bytes) -> Jpeg2000Structure:
    stream = _skip_boxes(stream)
    if not stream.startswith(_START + _SIZE) or len(stream) < 45:
        raise UnreadableError(DAMAGED)
    right, bottom, left, top, width, height, tile_left, tile_top, samples = struct.unpack_from(">8IH", stream, 8)
    if (
        not samples
        or len(stream) < 42 + 3 * samples
        or 0 in (width, height)
        or set(_read_steps(stream, samples)) != {1}
    ):
        raise UnreadableError(DAMAGED)
    tiles = -(-(right - tile_left) // width) * -(-(bottom - tile_top) // height)
    found = Jpeg2000Structure(bottom - top, right - left, samples, (stream[42] & 0x7F) + 1)
    start = 4 + int.from_bytes(stream[4:6])
    while (marker := stream[start : start + 2]) != _TILE_PART:
        if len(stream) < start + 12 or marker[0] != 0xFF:
            raise UnreadableError(TRUNCATED if len(stream) < start + 12 else DAMAGED)
        if marker == _CODING:
            _check_effort(stream, start, found, tiles)
        start += 2 + max(2, int.from_bytes(stream[start + 2 : start + 4]))
    if _list_tiles(stream, start) != set(range(tiles)):
        raise UnreadableError(f"{DAMAGED}: parts of the image are missing")
    return found


def _read_steps(stream: bytes, samples: int) -> list[int]:
    """Read the distances between the pixels of each sample, in both directions."""
    return [step for sample in range(samples) for step in stream[43 + 3 * sample : 45 + 3 * sample]]


def _skip_boxes(stream: bytes) -> bytes:
    """Return the codestream of a JP2 file, or the stream itself if it is one."""
    if not stream.startswith(_JP2_SIGNATURE):
        return stream
    start = 0
    while start + 8 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, start)
        if kind == b"jp2c":
            return stream[start + 8 :]
        start += max(length, 8)
    raise UnreadableError(DAMAGED)


def _check_effort(stream: bytes, start: int, found: Jpeg2000Structure, tiles: int) -> None:
    """Refuse more code blocks and packets than the stream can have: a decoder takes memory for all of them."""
    layers, levels, wide, high = struct.unpack_from(">HxBBB", stream, start + 6)
    area = 1 << (wide % 16 + high % 16 + 4)
    blocks = found.samples * found.rows * found.columns // area
    packets = found.samples * tiles * layers * (levels + 1)
    if blocks > max(_USUAL_BLOCKS, len(stream)) or packets > len(stream) or levels > 32:
        raise UnreadableError(f"{DAMAGED}: the stream is too short for {blocks} blocks in {packets} packets")


def _list_tiles(stream: bytes, start: int) -> set[int]:
    """Return the numbers of the tiles whose parts follow each other up to the end of the stream."""
    tiles = set()
    while (marker := stream[start : start + 2]) != _END:
        if len(stream) < start + 14:
            raise UnreadableError(TRUNCATED)
        if marker != _TILE_PART:
            raise UnreadableError(DAMAGED)
        tile, size = struct.unpack_from(">HI", stream, start + 4)
        tiles.add(tile)
        if not size:  # up to the end
            start = len(stream.rstrip(b"\0")) - 2
        elif size < 14 or start + size > len(stream):
            raise UnreadableError(TRUNCATED)
        else:
            start += size
    return tiles
