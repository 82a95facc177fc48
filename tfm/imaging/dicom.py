"""Pixels of a mammogram from a DICOM file in any transfer syntax. Never half an image.

What its windows and tables do to them is in `presented`; what headers say about patient and view is the data floor's.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from tfm.imaging.compressed_frame import check_compressed_frame
from tfm.imaging.decoded_image import (
    MAX_TOTAL_PIXELS,
    ONE_GREY_IMAGE,
    DecodedImage,
    Frame,
    UnreadableError,
    check_size,
    convert_to_grey,
    scale_to_full_range,
    select_frame,
)
from tfm.imaging.display_lut import build_display_lut, build_palette_lut

_SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG": uid.JPEGBaseline8Bit,
    "JPEG Lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "HTJ2K": uid.HTJ2KLossless,
}
_DECODER = "pylibjpeg"  # and no other in its place: Pillow fills what is missing
_RLE_DECODER = "pydicom"  # a damaged stream makes pylibjpeg's panic, which is no Exception, and writes over the screen
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PIXEL_DATA, _UNDEFINED = 0x7FE00010, 0xFFFFFFFF
_GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"


@dataclass(frozen=True)
class _Form:
    """How the pixels lie in the file, as its header says."""

    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    syntax: uid.UID

    @property
    def row_bytes(self) -> int:
        subsampled = self.photometric == "YBR_FULL_422"  # two pixels in four bytes, where uncompressed
        return self.columns * (2 if subsampled else self.samples) * self.allocated // 8

    @property
    def pixel(self) -> np.dtype[Any]:
        return np.dtype(f"<u{self.allocated // 8}")


def is_dicom(head: bytes) -> bool:
    """Files without a preamble, and even without a meta group, begin with an element of a low group."""
    return head[128:132] == b"DICM" or (
        len(head) >= 8 and head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08") and max(head[2:4]) <= 0x60
    )


def read_dicom(file: BufferedReader, frame: Frame) -> DecodedImage:
    _check_deflated(file)
    header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    form = _form(header)
    number = select_frame(frame, form.frames)
    plain = form.syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian) and form.samples == 1
    stored = _plain_frame(file, form, number - 1) if plain else _decoded_frame(file, form, number - 1)
    return DecodedImage(_shown(stored, header, form, number - 1), number, form.frames)


def _form(header: pydicom.Dataset) -> _Form:
    if not header.get("Rows") or not header.get("Columns"):
        raise UnreadableError("there is no image in the file")
    photometric = str(header.get("PhotometricInterpretation") or "no photometric interpretation")
    samples = int(header.get("SamplesPerPixel") or 1)
    if (photometric not in _GREY or samples != 1) and (photometric not in _COLOUR or samples != 3):
        raise UnreadableError(f"a colour image ({photometric}, {samples} a pixel)", ONE_GREY_IMAGE)
    allocated = int(header.get("BitsAllocated") or 0)
    stored = int(header.get("BitsStored") or allocated)
    form = _Form(
        rows=int(header.Rows),
        columns=int(header.Columns),
        frames=_frames(header),
        samples=samples,
        allocated=allocated,
        stored=stored,
        signed=bool(header.get("PixelRepresentation")),
        photometric=photometric,
        syntax=_syntax(header),
    )
    check_size(form.rows, form.columns, form.frames)
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise UnreadableError(f"{allocated} bits a pixel, {stored} of them used", ONE_GREY_IMAGE)
    if int(header.get("HighBit") or stored - 1) != stored - 1:
        raise UnreadableError(f"the highest of {stored} bits is said to be bit {header.HighBit}, not {stored - 1}")
    return form


def _frames(header: pydicom.Dataset) -> int:
    said = header.get("NumberOfFrames")
    try:
        return 1 if said in (None, "") else int(said)
    except (TypeError, ValueError):
        raise UnreadableError(f"the header claims {said} frames") from None


def _syntax(header: pydicom.Dataset) -> uid.UID:
    said = header.file_meta.get("TransferSyntaxUID")
    if said:
        return uid.UID(said)
    implicit, little = header.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _plain_frame(file: BufferedReader, form: _Form, index: int) -> np.ndarray:
    """(H, W) as stored, straight from the file, which stands where the pixels begin: nothing is copied."""
    head = file.read(12)
    if len(head) < 12:
        raise UnreadableError("there is no image in the file")
    group, element, length = struct.unpack_from("<HHI", head)
    if head[4:6] in (b"OB", b"OW", b"UN"):
        (length,) = struct.unpack_from("<I", head, 8)
    else:
        file.seek(-4, os.SEEK_CUR)
    if group << 16 | element != _PIXEL_DATA:
        raise _decimal()
    if length == _UNDEFINED:
        raise UnreadableError("the pixels are compressed, and the header says that they are not")
    _check_length(length, form)
    start = file.tell()
    if start + length > os.fstat(file.fileno()).st_size:
        raise UnreadableError("the file is cut: not all of its pixels are there")
    pixels = np.empty((form.rows, form.columns), form.pixel)
    file.seek(start + index * pixels.nbytes)
    if file.readinto(pixels.data) != pixels.nbytes:
        raise UnreadableError("the file was cut while it was read")
    return pixels


def _decimal() -> UnreadableError:
    return UnreadableError("pixels of decimal numbers, which have no whole range", ONE_GREY_IMAGE)


def _check_length(length: int, form: _Form) -> None:
    wanted = form.rows * form.row_bytes * form.frames
    if length < wanted:
        raise UnreadableError(f"the file is cut: {length} bytes of pixels where {wanted} are needed")
    if length >= wanted + max(form.row_bytes, 2):  # less is padding
        raise UnreadableError(f"the header speaks of {wanted} bytes of pixels, and there are {length}")


def _decoded_frame(file: BufferedReader, form: _Form, index: int) -> np.ndarray:
    """(H, W), or (H, W, 3) of a coloured image, of which no other frame is decoded."""
    file.seek(0)
    dataset = pydicom.dcmread(file, force=True)
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise _decimal()
    if not dataset.get("PixelData"):
        raise UnreadableError("there is no image in the file, or it is cut")
    if form.syntax.is_encapsulated:
        _check_compressed(dataset, form, index)
    else:
        _check_length(len(dataset.PixelData), form)
    dataset.file_meta.TransferSyntaxUID = form.syntax
    options: Any = {"index": index, "decoding_plugin": _decoder_of(form.syntax), "correct_unused_bits": False}
    pixels: np.ndarray = get_decoder(form.syntax).as_array(dataset, **options)[0]
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _check_compressed(dataset: pydicom.Dataset, form: _Form, index: int) -> None:
    if not _can_decode(form.syntax):
        raise UnreadableError(
            f"compressed as {form.syntax.name}, which cannot be decoded here", 'python -m pip install "pylibjpeg[all]"'
        )
    offsets = (dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths"))
    extended = (offsets[0], offsets[1]) if all(offsets) else None
    stream = get_frame(dataset.PixelData, index, number_of_frames=form.frames, extended_offsets=extended)
    check_compressed_frame(stream, form.syntax, form.rows, form.columns, form.samples, form.allocated)


def _shown(stored: np.ndarray, header: pydicom.Dataset, form: _Form, index: int) -> np.ndarray:
    if stored.ndim == 3:
        stored = convert_to_grey(stored)
    pixels = stored.view(form.pixel)
    if form.signed:  # offset binary: the least that can be stored is 0
        pixels = (pixels ^ form.pixel.type(1 << (form.stored - 1))) & form.pixel.type((1 << form.stored) - 1)
    table = _table(header, form, index)
    inverse = header.get("PresentationLUTShape") == "INVERSE" or form.photometric == "MONOCHROME1"
    most = (1 << form.stored) - 1
    if table is None:
        if inverse and int(pixels.max()) <= most:
            pixels = form.pixel.type(most) - pixels
        if form.signed:  # such values have no black of their own; counted from the least possible, film would be grey
            pixels = pixels - pixels.min()
        return scale_to_full_range(pixels, most)
    if int(pixels.max()) > most:
        raise UnreadableError(f"there are values above {most}, the most its header allows")
    shown: np.ndarray = (~table if inverse else table)[pixels]
    if shown.min() == shown.max() and pixels.min() < pixels.max():
        raise UnreadableError("the window or table of the header leaves one grey of the image", ONE_GREY_IMAGE)
    return shown


def _table(header: pydicom.Dataset, form: _Form, index: int) -> np.ndarray | None:
    if form.samples == 3:
        return None
    if form.photometric != "PALETTE COLOR":
        return build_display_lut(header, index, form.stored, form.signed)
    table = build_palette_lut(header, form.stored)
    if table is None:
        raise UnreadableError("a colour image (PALETTE COLOR)", ONE_GREY_IMAGE)
    return table


def _check_deflated(file: BufferedReader) -> None:
    """Rows and columns of a deflated file are known only once all of it is inflated, which may be without end."""
    head = file.read(4096)
    file.seek(0)
    if uid.DeflatedExplicitVRLittleEndian.encode() not in head or _GROUP_LENGTH not in head:
        return
    after = head.index(_GROUP_LENGTH) + len(_GROUP_LENGTH) + 4
    file.seek(after + int.from_bytes(head[after - 4 : after], "little"))
    inflating, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while piece := inflating.unconsumed_tail or file.read(2**20):
        size += len(inflating.decompress(piece, 2**20))
        if size > 2 * MAX_TOTAL_PIXELS:
            raise UnreadableError("the file inflates to more than any mammogram has")
    file.seek(0)


def list_codecs() -> dict[str, bool]:
    """Each transfer syntax a mammogram may come in, and whether this machine can decode it."""
    return {name: _can_decode(syntax) for name, syntax in _SYNTAXES.items()}


def _can_decode(syntax: uid.UID) -> bool:
    if not syntax.is_encapsulated:
        return True
    try:
        return _decoder_of(syntax) in get_decoder(syntax).available_plugins
    except NotImplementedError:
        return False


def _decoder_of(syntax: uid.UID) -> str:
    return _RLE_DECODER if syntax == uid.RLELossless else _DECODER
