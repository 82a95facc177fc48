"""What all readers of image files share: the result, size limits, frame selection, grey conversion, full value range.
The readers are in `dicom` and `image_files`; `read_image` chooses one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

MAX_FRAME_PIXELS = 2**27  # 5 × the largest mammogram: a header that claims more is broken or hostile
MAX_TOTAL_PIXELS = 2**30

_MAX_DECODED = 2**29  # bytes
_MAX_PIXEL_BYTES = 16  # as text, a pixel takes up to six bytes; the others are white space
_MAX_METADATA = 2**24  # bytes

DOWNLOAD_AGAIN = "download this file again, or leave the image out"
ONE_GREY_IMAGE = "use a file with one grey image of 8 or 16 bits"

Frame = Literal["first", "middle", "last"] | int  # numbers count from 1


@dataclass(frozen=True)
class DecodedImage:
    pixels: np.ndarray  # (H, W) uint8 or uint16, brighter is denser, over the full range of its type; may be read-only
    frame: int  # counts from 1
    frames: int


class UnreadableError(Exception):
    """Why a file cannot be read. `read_image` adds the file's name."""

    def __init__(self, reason: str, hint: str = DOWNLOAD_AGAIN) -> None:
        super().__init__(reason)
        self.hint = hint


def check_size(rows: int, columns: int, frames: int = 1) -> None:
    """Check the size a header claims, before anything is decoded."""
    if min(rows, columns, frames) < 1:
        raise UnreadableError(f"the header claims {rows} × {columns} pixels in {frames} frames")
    if rows * columns > MAX_FRAME_PIXELS or rows * columns * frames > MAX_TOTAL_PIXELS:
        times = f" × {frames}" if frames > 1 else ""
        raise UnreadableError(f"the header claims {rows} × {columns}{times} pixels, more than any mammogram has")


def read_whole(file: BinaryIO, rows: int, columns: int) -> bytes:
    """Read a file from its beginning, unless it is far larger than its image could be: a sparse file costs no disk."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > _MAX_PIXEL_BYTES * rows * columns + _MAX_METADATA:
        raise UnreadableError(f"the file has {size} bytes, far more than an image of {rows} × {columns} pixels")
    return file.read(size)


def check_memory(rows: int, columns: int, pixel_bytes: int) -> None:
    """Check what decoding takes, for formats of several channels."""
    if rows * columns * pixel_bytes > _MAX_DECODED:
        raise UnreadableError(f"{rows} × {columns} pixels of {pixel_bytes} bytes, more than any mammogram has")


def select_frame(frame: Frame, frames: int) -> int:
    """Return the number of the frame to read, from 1."""
    number = {"first": 1, "middle": (frames + 1) // 2, "last": frames}[frame] if isinstance(frame, str) else frame
    if not 1 <= number <= frames:
        count = "1 frame" if frames == 1 else f"{frames} frames"
        raise UnreadableError(
            f"frame {number} does not exist: the file has {count}", f"choose a frame from 1 to {frames}"
        )
    return number


def convert_to_grey(channels: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) → (H, W). Only for grey images saved as colour: real colour and transparency are refused."""
    first = channels[:, :, 0]
    if any((first != channels[:, :, other]).any() for other in (1, 2)):
        raise UnreadableError("a colour image", ONE_GREY_IMAGE)
    if channels.shape[2] == 4 and (channels[:, :, 3] != np.iinfo(channels.dtype).max).any():
        raise UnreadableError("parts of the image are transparent", ONE_GREY_IMAGE)
    return np.ascontiguousarray(first)


def scale_to_full_range(pixels: np.ndarray, largest: int) -> np.ndarray:
    """Scale so that `largest`, the largest value the header allows, becomes the largest of the type.

    12 bits stored in 16 are shifted up, exactly.
    """
    full = int(np.iinfo(pixels.dtype).max)
    if largest == full:
        return pixels
    if int(pixels.max()) > largest:
        raise UnreadableError(f"some values are above {largest}, the largest the header allows")
    if full % largest == 0:
        return np.asarray(pixels * pixels.dtype.type(full // largest))
    if largest & (largest + 1) == 0:
        return pixels << (full.bit_length() - largest.bit_length())
    return np.asarray(np.rint(np.arange(largest + 1) * (full / largest)).astype(pixels.dtype)[pixels])
