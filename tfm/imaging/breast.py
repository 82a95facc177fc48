"""Where the breast is: the one definition of the breast mask that steps, training and explanation share.

What is done with the mask stands in `steps/`.
"""

from __future__ import annotations

import cv2
import numpy as np

from tfm.core.errors import DataError

THUMBNAIL_HEIGHT = 256  # finer ones move the outline by less than the dilation does
OTSU_SHARE = 0.6  # the skin line is dimmer than what parts tissue from film
# Shares of the height:
THIN_SHARE = 0.04  # film frames, letters and tape are thinner than this, breasts are not
DILATION_SHARE = 0.02


def breast_mask(image: np.ndarray) -> np.ndarray:
    """image (H, W) uint8 or uint16, brighter is denser → (H, W) bool.

    On a thumbnail: square root of intensity → 0.6 × Otsu → largest part → holes filled → dilation.
    """
    check_grey(image)
    inner = _inside_the_frame(image)
    mask = np.zeros(image.shape, bool)
    mask[inner] = _mask(image[inner])
    return mask


def check_grey(image: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype} is no grey mammogram",
            hint="a mammogram is one grey channel of 8 or 16 bit: look at how it was exported",
        )
    if image.size == 0:
        raise _no_breast("it has no pixels")


def _mask(image: np.ndarray) -> np.ndarray:
    if image.min() == image.max():
        raise _no_breast("it has one value everywhere")
    height, width = image.shape
    thumbnail = image
    if height > THUMBNAIL_HEIGHT:
        size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
        thumbnail = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bright = _bright(thumbnail)
    breast = _largest_part(_without_thin_parts(bright))
    breast = _filled(_regrown(breast, bright))
    breast = cv2.dilate(breast, _kernel(DILATION_SHARE, len(breast)))
    # Linear, so that the outline on a large film is a curve and not the thumbnail's staircase.
    return cv2.resize(breast * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR) > 127


def _no_breast(reason: str) -> DataError:
    return DataError(
        f"no breast found in the image: {reason}",
        hint="look at the file in a viewer; if it is black, download it again",
    )


def _inside_the_frame(image: np.ndarray) -> tuple[slice, slice]:
    """Cuts off the lines at the edges that are white from end to end: the scan past the film. No tissue is that."""
    height, width = image.shape
    white = 0.9 * float(image.max())
    band = round(THIN_SHARE * height)
    step = max(1, height // 512)  # a white line is seen in a part of its pixels

    def thickness(lines: np.ndarray) -> int:
        # Not the median: white strips half as long lie over tissue, and cutting those costs lesions at the chest wall.
        dimmest = np.quantile(lines[:band, ::step], 0.05, axis=1)
        return int(np.argmin(np.append(dimmest, 0) >= white))

    top, bottom = thickness(image), thickness(image[::-1])
    left, right = thickness(image.T), thickness(image.T[::-1])
    return slice(top, height - bottom), slice(left, width - right)


def _kernel(share: float, height: int) -> np.ndarray:
    size = 2 * int(share * height / 2) + 1  # odd: an even one would shift every outline by a pixel
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _bright(thumbnail: np.ndarray) -> np.ndarray:
    levels = np.round(np.sqrt(thumbnail / thumbnail.max()) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(levels > OTSU_SHARE * threshold, np.uint8)


def _without_thin_parts(parts: np.ndarray) -> np.ndarray:
    """Slanted frames, letters and tape come off; nipple and skin folds too, until they are regrown."""
    # Outside counts as dark, so that a strip along the edge is as thin as it looks.
    kernel = _kernel(THIN_SHARE, len(parts))
    eroded = cv2.erode(parts, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(cv2.dilate(eroded, kernel))


def _largest_part(parts: np.ndarray) -> np.ndarray:
    count, part_of_pixel, statistics, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    if count == 1:
        raise _no_breast("nothing in it is larger than letters are")
    return np.asarray(part_of_pixel == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA]), np.uint8)


def _regrown(breast: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Bright pixels next to the breast are breast again, but for those at the very edge, where frames lie."""
    near = cv2.dilate(breast, _kernel(2 * THIN_SHARE, len(breast))) & bright
    edge = int(THIN_SHARE * len(breast))
    near[:edge], near[len(near) - edge :], near[:, :edge], near[:, near.shape[1] - edge :] = 0, 0, 0, 0
    return _largest_part(breast | near)


def _filled(breast: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(breast, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(breast), outlines, -1, 1, cv2.FILLED)
