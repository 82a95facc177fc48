"""Pixels of a mammogram from PNG, JPEG, PGM and TIFF files: whole, or not at all."""

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

from tfm.imaging.decoded_image import (
    ONE_GREY_IMAGE,
    DecodedImage,
    Frame,
    UnreadableError,
    check_size,
    convert_to_grey,
    scale_to_full_range,
    select_frame,
)

_CUT = "the file is cut or damaged"
_SEPARATOR = rb"(?:\s|#[^\n]*\n)+"
_PGM_HEADER = re.compile(rb"P([25])" + 3 * (_SEPARATOR + rb"(\d{1,9})") + rb"\s")
_PHOTOMETRIC, _BITS_PER_SAMPLE = 262, 258  # tags of TIFF
_PARTS = ((273, 279), (324, 325))  # where strips begin and how long they are, and the same of tiles
_CUT_IN_THE_WORDS_OF_PILLOW = "(?i).*(corrupt|truncated)"


def read_png(file: BufferedReader, frame: Frame) -> DecodedImage:
    content = file.read()
    if len(content) < 33:
        raise UnreadableError(_CUT)
    width, height = struct.unpack(">II", content[16:24])
    check_size(height, width)
    number = select_frame(frame, 1)
    _check_chunks(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableError(_CUT)
    return DecodedImage(pixels if pixels.ndim == 2 else convert_to_grey(pixels), number, 1)


def _check_chunks(content: bytes) -> None:
    """OpenCV notices damage too, but libpng writes about it over the screen."""
    view, start, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        if start + 12 > len(content):
            raise UnreadableError(_CUT)
        (length,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + 8 + length
        if content[end : end + 4] != zlib.crc32(view[start + 4 : end]).to_bytes(4):
            raise UnreadableError(_CUT)
        start = end + 4


def read_jpeg(file: BufferedReader, frame: Frame) -> DecodedImage:
    """By Pillow: it alone says where bytes are missing."""
    with JpegImageFile(io.BytesIO(file.read())) as image:
        check_size(image.height, image.width)
        number = select_frame(frame, 1)
        return DecodedImage(_grey(image), number, 1)


def read_tiff(file: BufferedReader, frame: Frame) -> DecodedImage:
    content = file.read()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", _CUT_IN_THE_WORDS_OF_PILLOW)  # it goes on without the tags that are cut off
        with TiffImageFile(io.BytesIO(content)) as image:
            check_size(image.height, image.width)
            frames = image.n_frames
            number = select_frame(frame, frames)
            image.seek(number - 1)
            check_size(image.height, image.width, frames)
            _check_parts(image, len(content))
            return DecodedImage(_page(image), number, frames)


def _check_parts(image: TiffImageFile, length: int) -> None:
    """Before libtiff sees it, which writes over the screen."""
    for begin, size in _PARTS:
        begins, sizes = image.tag_v2.get(begin, ()), image.tag_v2.get(size, ())
        if len(begins) != len(sizes) or any(sum(part) > length for part in zip(begins, sizes, strict=True)):
            raise UnreadableError(_CUT)


def _page(image: TiffImageFile) -> np.ndarray:
    bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if image.mode not in ("I;16", "I;16B"):
        if bits > 8:
            raise UnreadableError(f"pixels of {bits} bits that are no plain grey values", ONE_GREY_IMAGE)
        return _grey(image)
    pixels = scale_to_full_range(np.asarray(image).astype(np.uint16), 2**bits - 1)
    # Pillow turns 8 bits itself where 0 is white, but not 16
    return pixels if image.tag_v2[_PHOTOMETRIC] else ~pixels


def _grey(image: ImageFile) -> np.ndarray:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in ("CMYK", "LAB"):
        raise UnreadableError(f"a colour image ({image.mode})", ONE_GREY_IMAGE)
    return convert_to_grey(np.asarray(image.convert("RGB" if image.mode in ("RGB", "YCbCr") else "RGBA")))


def read_pgm(file: BufferedReader, frame: Frame) -> DecodedImage:
    content = file.read()
    header = _PGM_HEADER.match(content[:4096])
    if not header:
        raise UnreadableError("the header of this PGM file is broken")
    form, width, height, most = map(int, header.groups())
    check_size(height, width)
    if not 1 <= most <= 65535:
        raise UnreadableError(f"the header says that {most} is white", ONE_GREY_IMAGE)
    number = select_frame(frame, 1)
    kind: type[np.unsignedinteger] = np.uint8 if most < 256 else np.uint16
    values = _binary if form == 5 else _written
    pixels = values(content, header.end(), width * height, kind).reshape(height, width)
    return DecodedImage(scale_to_full_range(pixels, most), number, 1)


def _binary(content: bytes, start: int, count: int, kind: type[np.unsignedinteger]) -> np.ndarray:
    stored = np.dtype(kind).newbyteorder(">")
    end = start + count * stored.itemsize
    if len(content) < end:
        raise UnreadableError(_CUT)
    if content[end:].strip():
        raise UnreadableError("the file holds more than its header says", ONE_GREY_IMAGE)
    return np.frombuffer(content, stored, count, start).astype(kind, copy=False)


def _written(content: bytes, start: int, count: int, kind: type[np.unsignedinteger]) -> np.ndarray:
    """In digits: that a file was cut within its last number shows only by the blank that should follow."""
    if len(content) - start < 2 * count or not content[-1:].isspace():
        raise UnreadableError(_CUT)
    words = content[start:].split()
    if len(words) != count:
        raise UnreadableError(f"the header says {count} values, and there are {len(words)}")
    values = np.array(words).astype(np.int64)
    if values.min() < 0 or values.max() > np.iinfo(kind).max:
        raise UnreadableError("there are values that its header does not allow")
    return values.astype(kind)
