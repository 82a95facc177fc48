"""What every reader of image files shares: which frame, how many pixels at most, when colour is grey, full range.

The forms of files stand in `dicom` and `pictures`; the door to all of them is `pixels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

MAX_FRAME_PIXELS = 2**27  # of a frame: 5 × the largest film; a header that claims more is broken or hostile
MAX_TOTAL_PIXELS = 2**30

DOWNLOAD_AGAIN = "download this file again, or leave the image out"
ONE_GREY_IMAGE = "give a mammogram: one grey image of 8 or 16 bit in the file"

Frame = Literal["first", "middle", "last"] | int  # a number counts from 1


@dataclass(frozen=True)
class DecodedImage:
    pixels: np.ndarray  # (H, W) uint8 or uint16, brighter is denser, over the whole range of its type; may be read-only
    frame: int  # counts from 1
    frames: int


class UnreadableError(Exception):
    """Why there are no pixels. The door puts the file's name before it, so that no reader has to know it."""

    def __init__(self, reason: str, hint: str = DOWNLOAD_AGAIN) -> None:
        super().__init__(reason)
        self.hint = hint


def check_size(rows: int, columns: int, frames: int = 1) -> None:
    """Before any of it is decoded."""
    if min(rows, columns, frames) < 1:
        raise UnreadableError(f"the header claims {rows} × {columns} pixels in {frames} frames")
    if rows * columns > MAX_FRAME_PIXELS or rows * columns * frames > MAX_TOTAL_PIXELS:
        many = f" × {frames}" if frames > 1 else ""
        raise UnreadableError(f"the header claims {rows} × {columns}{many} pixels, more than any mammogram has")


def select_frame(frame: Frame, frames: int) -> int:
    """The number of the frame to read, from 1."""
    number = {"first": 1, "middle": (frames + 1) // 2, "last": frames}[frame] if isinstance(frame, str) else frame
    if not 1 <= number <= frames:
        held = "1 frame" if frames == 1 else f"{frames} frames"
        raise UnreadableError(
            f"there is no frame {number}: the file holds {held}", f"choose a frame from 1 to {frames}"
        )
    return number


def convert_to_grey(channels: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) → (H, W), of a grey image that was saved as a coloured one."""
    first = channels[:, :, 0]
    if any((first != channels[:, :, other]).any() for other in (1, 2)):
        raise UnreadableError("a colour image", ONE_GREY_IMAGE)
    if channels.shape[2] == 4 and (channels[:, :, 3] != np.iinfo(channels.dtype).max).any():
        raise UnreadableError("parts of the image are transparent", ONE_GREY_IMAGE)
    return np.ascontiguousarray(first)


def scale_to_full_range(pixels: np.ndarray, most: int) -> np.ndarray:
    """`most` is the largest value that can be, not the largest that is; 12 bits in 16 are shifted up, exactly."""
    whole = int(np.iinfo(pixels.dtype).max)
    if most == whole:
        return pixels
    if int(pixels.max()) > most:
        raise UnreadableError(f"there are values above {most}, the most its header allows")
    if whole % most == 0:
        multiplied: np.ndarray = pixels * pixels.dtype.type(whole // most)
        return multiplied
    if most & (most + 1) == 0:
        return pixels << (whole.bit_length() - most.bit_length())
    stretched: np.ndarray = np.rint(np.arange(most + 1) * (whole / most)).astype(pixels.dtype)[pixels]
    return stretched
