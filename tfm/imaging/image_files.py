"""Read pixels from PNG, JPEG, PGM and TIFF files; a truncated file is refused. DICOM is in `dicom`."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from io import BufferedReader

import cv2
import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from tfm.imaging.reader_common import (
    ONE_GREY_IMAGE,
    DecodedImage,
    Frame,
    UnreadableError,
    check_memory,
    check_size,
    convert_to_grey,
    read_whole,
    scale_to_full_range,
    select_frame,
)

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_TRUNCATED = "the file is truncated or damaged"
_SEPARATOR = rb"(?:\s|#[^\n]*\n)+"
_PGM_HEADER = re.compile(rb"P([25])" + 3 * (_SEPARATOR + rb"(\d{1,9})") + rb"\s")
_PHOTOMETRIC, _BITS_PER_SAMPLE = 262, 258  # tags of TIFF


def read_png(file: BufferedReader, frame: Frame) -> DecodedImage:
    head = file.read(33)
    if len(head) < 33:
        raise UnreadableError(_TRUNCATED)
    width, height, bits, kind = struct.unpack_from(">IIBB", head, 16)
    check_size(height, width)
    check_memory(height, width, _PNG_CHANNELS.get(kind, 4) * max(bits, 8) // 8)
    number = select_frame(frame, 1)
    content = read_whole(file, height, width)
    _check_chunks(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableError(_TRUNCATED)
    return DecodedImage(pixels if pixels.ndim == 2 else convert_to_grey(pixels), number, 1)


def _check_chunks(content: bytes) -> None:
    """Check the checksums first: libpng would print its errors on the screen."""
    view, start, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        if start + 12 > len(content):
            raise UnreadableError(_TRUNCATED)
        (length,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + 8 + length
        if content[end : end + 4] != zlib.crc32(view[start + 4 : end]).to_bytes(4):
            raise UnreadableError(_TRUNCATED)
        start = end + 4  # at least 12 bytes further


def read_jpeg(file: BufferedReader, frame: Frame) -> DecodedImage:
    """Read with Pillow: it reports missing bytes."""
    with JpegImageFile(file) as image:
        check_size(image.height, image.width)
        number = select_frame(frame, 1)
        content = read_whole(file, image.height, image.width)
    with JpegImageFile(io.BytesIO(content)) as image:
        return DecodedImage(_read_grey(image), number, 1)


def read_tiff(file: BufferedReader, frame: Frame) -> DecodedImage:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?i).*(corrupt|truncated)")  # Pillow would continue without the missing tags
        with TiffImageFile(file) as image:
            check_size(image.height, image.width)
            content = read_whole(file, image.height, image.width * image.n_frames)
        with TiffImageFile(io.BytesIO(content)) as image:
            frames = image.n_frames
            number = select_frame(frame, frames)
            image.seek(number - 1)
            check_size(image.height, image.width, frames)
            _check_segments(image, len(content))
            return DecodedImage(_read_page(image), number, frames)


def _check_segments(image: TiffImageFile, length: int) -> None:
    """Check that all strips or tiles are in the file: libtiff would print its errors on the screen."""
    for offset_tag, size_tag in ((273, 279), (324, 325)):  # of strips, of tiles
        offsets, sizes = image.tag_v2.get(offset_tag, ()), image.tag_v2.get(size_tag, ())
        if len(offsets) != len(sizes) or any(sum(segment) > length for segment in zip(offsets, sizes, strict=True)):
            raise UnreadableError(_TRUNCATED)


def _read_page(image: TiffImageFile) -> np.ndarray:
    bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if image.mode not in ("I;16", "I;16B"):
        if bits > 8:
            raise UnreadableError(f"its pixels have {bits} bits but are not plain grey values", ONE_GREY_IMAGE)
        return _read_grey(image)
    pixels = scale_to_full_range(np.asarray(image).astype(np.uint16), 2**bits - 1)
    # Where 0 means white, Pillow inverts 8-bit images but not 16-bit ones.
    return pixels if image.tag_v2[_PHOTOMETRIC] else ~pixels


def _read_grey(image: ImageFile) -> np.ndarray:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in ("CMYK", "LAB"):
        raise UnreadableError(f"a colour image ({image.mode})", ONE_GREY_IMAGE)
    return convert_to_grey(np.asarray(image.convert("RGB" if image.mode in ("RGB", "YCbCr") else "RGBA")))


def read_pgm(file: BufferedReader, frame: Frame) -> DecodedImage:
    header = _PGM_HEADER.match(file.read(4096))
    if not header:
        raise UnreadableError("the header of this PGM file is broken")
    kind, width, height, largest = map(int, header.groups())
    check_size(height, width)
    content = read_whole(file, height, width)
    if not 1 <= largest <= 65535:
        raise UnreadableError(f"the header claims that {largest} is white", ONE_GREY_IMAGE)
    number = select_frame(frame, 1)
    dtype: type[np.unsignedinteger] = np.uint8 if largest < 256 else np.uint16
    parse = _parse_binary if kind == 5 else _parse_text
    pixels = parse(content, header.end(), width * height, dtype).reshape(height, width)
    return DecodedImage(scale_to_full_range(pixels, largest), number, 1)


def _parse_binary(content: bytes, start: int, count: int, dtype: type[np.unsignedinteger]) -> np.ndarray:
    stored = np.dtype(dtype).newbyteorder(">")
    end = start + count * stored.itemsize
    if len(content) < end:
        raise UnreadableError(_TRUNCATED)
    if content[end:].strip():
        raise UnreadableError("the file contains more than its header claims", ONE_GREY_IMAGE)
    return np.frombuffer(content, stored, count, start).astype(dtype, copy=False)


def _parse_text(content: bytes, start: int, count: int, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """Parse decimal numbers. Without white space at the end, the last number may be truncated."""
    if len(content) - start < 2 * count or not content[-1:].isspace():
        raise UnreadableError(_TRUNCATED)
    words = content[start:].split()
    if len(words) != count:
        raise UnreadableError(f"the header claims {count} values, but there are {len(words)}")
    values = np.array(words).astype(np.int64)
    if values.min() < 0 or values.max() > np.iinfo(dtype).max:
        raise UnreadableError("some values are outside the range of its header")
    return values.astype(dtype)
