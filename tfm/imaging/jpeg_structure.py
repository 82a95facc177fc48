"""Walk the markers of a JPEG stream of any kind (also JPEG-LS), and count the bits that a lossless one must have.
Decoders fill in what is missing; here it is found. Not found: bytes that were changed but neither lost nor added."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from tfm.imaging.reader_common import UnreadableError

DAMAGED = "the compressed pixels are damaged"
TRUNCATED = "the compressed pixels are truncated"
LOSSLESS, JPEG_LS = 0xC3, 0xF7  # markers of frames

_START_OF_FRAME = {*range(0xC0, 0xD0), JPEG_LS} - {0xC4, 0xC8, 0xCC}
_HUFFMAN, _END, _SCAN, _RESTART_INTERVAL = 0xC4, 0xD9, 0xDA, 0xDD
_MAX_SCANS = 100  # a progressive image has about ten; each costs a pass over all pixels
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Scan:
    predictor: int  # of a lossless scan
    shift: int  # bits that a lossless scan leaves out
    code_lengths: np.ndarray  # (256,) of each symbol
    interval: int  # pixels or blocks between restarts; 0: none
    restarts: int
    bits: int  # without stuffed bytes and restart markers


@dataclass
class JpegStructure:
    frame: int = 0  # marker of its kind
    rows: int = 0
    columns: int = 0
    samples: int = 0
    bits: int = 0
    scans: list[Scan] = field(default_factory=list)


def parse_jpeg(stream: bytes) -> JpegStructure:
    found, tables, interval = JpegStructure(), dict[int, np.ndarray](), 0
    if not stream.startswith(b"\xff\xd8"):
        raise UnreadableError(DAMAGED)
    start = 2
    while (marker := _read_marker(stream, start)) != _END:
        if marker == 0xFF:  # a fill byte
            start += 1
            continue
        length = int.from_bytes(stream[start + 2 : start + 4])
        content, start = stream[start + 4 : start + 2 + length], start + 2 + length
        if length < 2 or start > len(stream):
            raise UnreadableError(TRUNCATED)
        if marker in _START_OF_FRAME:
            _read_frame_header(found, marker, content)
        elif marker == _HUFFMAN:
            tables |= _parse_huffman_tables(content)
        elif marker == _RESTART_INTERVAL:
            interval = int.from_bytes(content)
        elif marker == _SCAN:
            start = _add_scan(found, stream, start, content, tables, interval)
    if stream[start + 2 :].strip(b"\0\xff") or not found.scans:
        raise UnreadableError(DAMAGED)
    return found


def _read_frame_header(found: JpegStructure, marker: int, content: bytes) -> None:
    if found.frame or len(content) < 6:
        raise UnreadableError(DAMAGED)
    found.frame = marker
    found.bits, found.rows, found.columns, found.samples = struct.unpack_from(">BHHB", content)


def _read_marker(stream: bytes, start: int) -> int:
    if start + 2 > len(stream):
        raise UnreadableError(TRUNCATED)
    if stream[start] != 0xFF:
        raise UnreadableError(DAMAGED)
    return stream[start + 1]


def _parse_huffman_tables(content: bytes) -> dict[int, np.ndarray]:
    """Map the class and number of each table to the length of each symbol's code."""
    tables = {}
    while len(content) >= 17:
        counts = np.frombuffer(content, np.uint8, 16, 1)
        symbols = np.frombuffer(content[17 : 17 + int(counts.sum())], np.uint8)
        if len(symbols) < counts.sum():
            raise UnreadableError(DAMAGED)
        tables[content[0]] = np.zeros(256, np.int64)
        tables[content[0]][symbols] = np.repeat(np.arange(1, 17), counts)
        content = content[17 + len(symbols) :]
    return tables


def _add_scan(
    found: JpegStructure, stream: bytes, start: int, content: bytes, tables: dict[int, np.ndarray], interval: int
) -> int:
    """Add the scan whose coded data begin at `start`; return where they end."""
    if not found.frame or len(content) < 6 or len(found.scans) == _MAX_SCANS:
        raise UnreadableError(DAMAGED)
    coded = np.frombuffer(stream, np.uint8, offset=start)
    places = np.flatnonzero(coded[:-1] == 0xFF)
    after = coded[places + 1]
    markers = places[(after >= 0x80 if found.frame == JPEG_LS else after > 0) & (after < 0xFF)]
    is_restart = (coded[markers + 1] & 0xF8) == 0xD0
    if is_restart.all():
        raise UnreadableError(TRUNCATED)
    end = int(markers[~is_restart][0])
    restarts = coded[markers[is_restart & (markers < end)] + 1]
    if (restarts != 0xD0 + np.arange(len(restarts)) % 8).any() or (len(restarts) and not interval):
        raise UnreadableError(DAMAGED)
    stuffed = np.count_nonzero((places < end) & (after == 0))
    table = tables.get(content[2] >> 4, np.zeros(256, np.int64))
    bits = 8 * (end - int(stuffed) - 2 * len(restarts))
    found.scans.append(Scan(content[-3], content[-1] & 15, table, interval, len(restarts), bits))
    return start + end


def check_lossless_pixels(found: JpegStructure, pixels: np.ndarray) -> None:
    """Check that the decoded pixels (H, W) take exactly the bits that the stream has."""
    (scan,) = found.scans
    counts = _count_categories(pixels, found.bits, scan)
    extra_bits = np.r_[np.arange(16), 0]
    lengths = scan.code_lengths[:17]
    needed = int((counts * (lengths + extra_bits)).sum())
    if counts[lengths == 0].any() or not 0 <= scan.bits - needed <= 8 * (scan.restarts + 1):
        raise UnreadableError(f"{DAMAGED}: {scan.bits} bits are coded where the image takes {needed}")


def _count_categories(pixels: np.ndarray, bits: int, scan: Scan) -> np.ndarray:
    """Count the differences between pixels and predictions by the number of their bits, 0 to 16 (ITU T.81, H.1.2)."""
    rows, columns = pixels.shape
    category_of = np.array([min(value, 65536 - value).bit_length() for value in range(65536)], np.uint8)
    rows_of_interval = scan.interval // columns or rows
    counts = np.zeros(17, np.int64)
    for top in range(0, rows, _ROWS_AT_ONCE):
        part = pixels[max(top - 1, 0) : top + _ROWS_AT_ONCE].astype(np.int32) >> scan.shift
        here = part if top == 0 else part[1:]
        above = np.vstack([here[:1], here[:-1]]) if top == 0 else part[:-1]
        left, corner = np.roll(here, 1, axis=1), np.roll(above, 1, axis=1)
        predicted = (
            left,
            above,
            corner,
            left + above - corner,
            left + ((above - corner) >> 1),
            above + ((left - corner) >> 1),
            (left + above) >> 1,
        )[scan.predictor - 1]
        predicted[:, 0] = above[:, 0]
        for first in (row for row in range(len(here)) if (top + row) % rows_of_interval == 0):
            predicted[first] = left[first]
            predicted[first, 0] = 1 << (bits - scan.shift - 1)
        counts += np.bincount(category_of[(here - predicted) & 0xFFFF].ravel(), minlength=17)
    return counts
