"""Read pixels from a DICOM file in any transfer syntax; a truncated image is refused, never filled up.
Windows and lookup tables are in `display_lut`; what headers say about patient and view is read in `tfm.data`."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from tfm.imaging.check_compressed_frame import Structure, check_compressed_frame, check_decoded_pixels
from tfm.imaging.dicom_header import (
    UNDEFINED,
    count_remaining_bytes,
    is_at_pixels,
    open_dicom,
    read_dicom_header,
    read_fragments,
)
from tfm.imaging.display_lut import build_display_lut, build_palette_lut
from tfm.imaging.reader_common import (
    ONE_GREY_IMAGE,
    DecodedImage,
    Frame,
    UnreadableError,
    check_size,
    convert_to_grey,
    scale_to_full_range,
    select_frame,
)

_SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG": uid.JPEGBaseline8Bit,
    "JPEG Lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "HTJ2K": uid.HTJ2KLossless,
}
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class _Layout:
    """How the pixels are stored in the file, according to its header."""

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
        subsampled = self.photometric == "YBR_FULL_422"  # uncompressed: two pixels in four bytes
        return self.columns * (2 if subsampled else self.samples) * self.allocated // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"<u{self.allocated // 8}")


def is_dicom(head: bytes) -> bool:
    """Recognise DICOM by its first bytes, also without the preamble or the meta group."""
    return head[128:132] == b"DICM" or (
        len(head) >= 8 and head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08") and max(head[2:4]) <= 0x60
    )


def read_dicom(file: BufferedReader, frame: Frame) -> DecodedImage:
    opened = open_dicom(file)
    header = read_dicom_header(opened)
    layout = _read_layout(header)
    number = select_frame(frame, layout.frames)
    index = number - 1
    length = _read_pixel_length(opened, header)
    is_plain = not layout.syntax.is_encapsulated and layout.syntax.is_little_endian and layout.samples == 1
    stored = (
        _read_plain_frame(opened, layout, index, length)
        if is_plain
        else _decode_frame(opened, header, layout, index, length)
    )
    if stored.ndim == 3:
        stored = convert_to_grey(stored)
    return DecodedImage(_apply_display(stored, header, layout, index), number, layout.frames)


def _read_layout(header: pydicom.FileDataset) -> _Layout:
    if not header.get("Rows") or not header.get("Columns"):
        raise UnreadableError("there is no image in the file")
    photometric = str(header.get("PhotometricInterpretation") or "no photometric interpretation")
    samples = int(header.get("SamplesPerPixel") or 1)
    if (photometric not in _GREY or samples != 1) and (photometric not in _COLOUR or samples != 3):
        raise UnreadableError(f"a colour image ({photometric}, {samples} samples per pixel)", ONE_GREY_IMAGE)
    claimed = header.get("NumberOfFrames")
    try:
        frames = 1 if claimed in (None, "") else int(claimed)
    except (TypeError, ValueError):
        raise UnreadableError(f"the header claims {claimed} frames") from None
    allocated = int(header.get("BitsAllocated") or 0)
    stored = int(header.get("BitsStored") or allocated)
    layout = _Layout(
        rows=int(header.Rows),
        columns=int(header.Columns),
        frames=frames,
        samples=samples,
        allocated=allocated,
        stored=stored,
        signed=bool(header.get("PixelRepresentation")),
        photometric=photometric,
        syntax=_read_syntax(header),
    )
    check_size(layout.rows, layout.columns, layout.frames)
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise UnreadableError(f"{allocated} bits per pixel, {stored} of them used", ONE_GREY_IMAGE)
    if int(header.get("HighBit") or stored - 1) != stored - 1:
        raise UnreadableError(f"the highest of {stored} bits should be bit {stored - 1}, but is bit {header.HighBit}")
    return layout


def _read_syntax(header: pydicom.FileDataset) -> uid.UID:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax:
        return uid.UID(syntax)
    implicit, little = header.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _read_pixel_length(file: BinaryIO, header: pydicom.FileDataset) -> int:
    """Read how many bytes of pixels follow, and move from their element to the pixels themselves."""
    start = file.tell()
    if not is_at_pixels(file, header):
        raise UnreadableError("there is no image in the file, or it is truncated")
    order = "<" if header.original_encoding[1] else ">"
    group, element, length = struct.unpack(f"{order}HHI", file.read(8))
    if (group, element) != (0x7FE0, 0x0010):
        raise UnreadableError("its pixels are floating-point numbers", ONE_GREY_IMAGE)
    file.seek(start + 4)
    if file.read(2) in (b"OB", b"OW", b"UN"):
        file.seek(start + 8)
        (length,) = struct.unpack(f"{order}I", file.read(4).ljust(4, b"\0"))
    else:
        file.seek(start + 8)
    return int(length)


def _read_plain_frame(file: BinaryIO, layout: _Layout, index: int, length: int) -> np.ndarray:
    """Read (H, W) as stored, straight into the array. The file's position is where the pixels begin."""
    _check_length(file, length, layout)
    pixels = np.empty((layout.rows, layout.columns), layout.dtype)
    file.seek(index * pixels.nbytes, os.SEEK_CUR)
    if file.readinto(pixels.data) != pixels.nbytes:  # type: ignore[attr-defined]
        raise UnreadableError("the file was truncated while it was read")
    return pixels


def _check_length(file: BinaryIO, length: int, layout: _Layout) -> None:
    if length == UNDEFINED:
        raise UnreadableError("the pixels are compressed, but the header says they are not")
    expected = layout.rows * layout.row_bytes * layout.frames
    if length < expected:
        raise UnreadableError(f"the file is truncated: {length} bytes of pixels where {expected} are needed")
    if length >= expected + max(layout.row_bytes, 2):  # less is padding
        raise UnreadableError(f"the header claims {expected} bytes of pixels, but there are {length}")
    if length > count_remaining_bytes(file):
        raise UnreadableError("the file is truncated: some of its pixels are missing")


def _decode_frame(file: BinaryIO, header: pydicom.Dataset, layout: _Layout, index: int, length: int) -> np.ndarray:
    """Decode only this frame: (H, W), or (H, W, 3) for colour. The file's position is where the pixels begin."""
    if layout.syntax.is_encapsulated:
        content = read_fragments(file, largest=2 * layout.rows * layout.row_bytes * layout.frames + 2**20)
        structure = _check_compressed(content, header, layout, index)
    else:
        _check_length(file, length, layout)
        content, structure = file.read(length), None
    header.add_new(0x7FE0_0010, "OB" if layout.allocated == 8 or layout.syntax.is_encapsulated else "OW", content)
    header.file_meta.TransferSyntaxUID = layout.syntax
    options: Any = {"index": index, "decoding_plugin": _select_decoder(layout.syntax), "correct_unused_bits": False}
    pixels: np.ndarray = get_decoder(layout.syntax).as_array(header, **options)[0]
    check_decoded_pixels(pixels, structure)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _check_compressed(content: bytes, header: pydicom.Dataset, layout: _Layout, index: int) -> Structure | None:
    """Refuse a compressed frame that does not fit to the header; return its structure."""
    if not _can_decode(layout.syntax):
        raise UnreadableError(
            f"compressed as {layout.syntax.name}, which this machine cannot decode",
            'install the decoders: python -m pip install "pylibjpeg[all]" pyjpegls',
        )
    offsets = (header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths"))
    extended = (offsets[0], offsets[1]) if all(offsets) else None
    stream = get_frame(content, index, number_of_frames=layout.frames, extended_offsets=extended)
    return check_compressed_frame(stream, layout.syntax, layout.rows, layout.columns, layout.samples, layout.allocated)


def _apply_display(stored: np.ndarray, header: pydicom.Dataset, layout: _Layout, index: int) -> np.ndarray:
    """Apply sign, window, lookup table and inversion; return pixels over the full range of their type."""
    pixels = stored.view(layout.dtype)
    if layout.signed:  # as offset binary: the lowest possible value becomes 0
        pixels = (pixels ^ layout.dtype.type(1 << (layout.stored - 1))) & layout.dtype.type((1 << layout.stored) - 1)
    lut = _build_lut(header, layout, index)
    is_inverse = header.get("PresentationLUTShape") == "INVERSE" or layout.photometric == "MONOCHROME1"
    largest = (1 << layout.stored) - 1
    if lut is None:
        if is_inverse and int(pixels.max()) <= largest:
            pixels = layout.dtype.type(largest) - pixels
        if layout.signed:  # black has no fixed value here: counted from the lowest possible, background would be grey
            pixels = pixels - pixels.min()
        return scale_to_full_range(pixels, largest)
    if int(pixels.max()) > largest:
        raise UnreadableError(f"some values are above {largest}, the largest the header allows")
    displayed: np.ndarray = (~lut if is_inverse else lut)[pixels]
    if displayed.min() == displayed.max() and pixels.min() < pixels.max():
        raise UnreadableError("the window or lookup table of the header makes the image one grey value", ONE_GREY_IMAGE)
    return displayed


def _build_lut(header: pydicom.Dataset, layout: _Layout, index: int) -> np.ndarray | None:
    if layout.samples == 3:
        return None
    if layout.photometric != "PALETTE COLOR":
        return build_display_lut(header, index, layout.stored, layout.signed)
    lut = build_palette_lut(header, layout.stored)
    if lut is None:
        raise UnreadableError("a colour image (PALETTE COLOR)", ONE_GREY_IMAGE)
    return lut


def list_codecs() -> dict[str, bool]:
    """Map each transfer syntax a mammogram may use to whether this machine can decode it."""
    return {name: _can_decode(syntax) for name, syntax in _SYNTAXES.items()}


def _can_decode(syntax: uid.UID) -> bool:
    if not syntax.is_encapsulated:
        return True
    try:
        return _select_decoder(syntax) in get_decoder(syntax).available_plugins
    except NotImplementedError:
        return False


def _select_decoder(syntax: uid.UID) -> str:
    if syntax == uid.RLELossless:
        return "pydicom"  # pylibjpeg's panics on a damaged stream: no Exception, and a message on the screen
    if syntax in uid.JPEGLSTransferSyntaxes:
        return "pyjpegls"  # pylibjpeg's would fill in missing parts
    return "pylibjpeg"  # Pillow's would fill in missing parts
