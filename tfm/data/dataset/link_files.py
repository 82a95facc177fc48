"""Write one file of a dataset: an image by link, copy or decoding, or the mask of its lesions.
The files are chosen in `dataset_plan`."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from tfm.core.errors import DataError
from tfm.core.files import replace_atomically, write_atomically, write_bytes
from tfm.data.dataset.dataset_plan import PlannedImage
from tfm.data.download.notices import Notice
from tfm.imaging.read_image import read_pixels

LinkMode = Literal["hard", "symlink", "copy", "png"]

_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_FAST_TO_READ = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # read 4 to 8 times faster, once for each cache


class UnusableFile(Exception):
    """A file of the dataset that cannot be written: its source is no image, or shows nothing."""

    def __init__(self, file: str, notice: Notice) -> None:
        self.file, self.notice = file, notice


def can_link(source: Path, folder: Path, link: LinkMode) -> bool:
    if link == "symlink":
        return True
    folder.parent.mkdir(parents=True, exist_ok=True)
    trial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        os.link(source.resolve(), trial)
    except OSError:
        return False
    trial.unlink()
    return True


def link_image(image: PlannedImage, target: Path, link: LinkMode) -> str:
    """Bring an image to `target`; return the kind of link that was made, since some disks cannot link."""
    source = image.source
    if link == "png":
        if not (_is_plain(target) and not target.samefile(source)):
            _decode(image, target)
        return link
    is_done = {
        "hard": lambda: _is_plain(target) and target.samefile(source),
        "symlink": lambda: target.is_symlink() and target.readlink() == source,
        "copy": lambda: _is_copy(source, target),
    }
    try:
        if not is_done[link]():
            with (write_atomically if link == "copy" else replace_atomically)(target) as temporary:
                match link:
                    case "hard":
                        os.link(source.resolve(), temporary)  # otherwise Linux links a symbolic link itself
                    case "symlink":
                        temporary.symlink_to(source)
                    case "copy":
                        shutil.copy2(source, temporary)
        return link
    except OSError as error:
        if link == "copy" or error.errno not in _CANNOT_LINK:
            raise
        return link_image(image, target, "copy")


def _decode(image: PlannedImage, target: Path) -> None:
    """Write the pixels alone as a lossless PNG."""
    try:
        pixels = read_pixels(image.source)
    except DataError as error:
        raise UnusableFile(image.file, Notice("left-out", image.image_id, error.message)) from None
    write_bytes(target, cv2.imencode(".png", pixels)[1].tobytes())


def _is_plain(target: Path) -> bool:
    return target.is_file() and not target.is_symlink()


def _is_copy(source: Path, target: Path) -> bool:
    if not _is_plain(target) or target.samefile(source):
        return False
    ours, theirs = target.stat(), source.stat()
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def write_mask(target: Path, image: PlannedImage) -> None:
    classes = np.zeros((image.rows, image.columns), np.uint8)
    for lesion in image.lesions:
        try:
            inside = lesion.outline.draw((image.rows, image.columns))
        except DataError as error:
            raise UnusableFile(image.mask, Notice("bad-mask", lesion.subject, error.message)) from None
        # Classes rise with malignancy, so the larger one wins where lesions overlap.
        np.maximum(classes, inside * np.uint8(lesion.pixel_class), out=classes)
    write_bytes(target, cv2.imencode(".png", classes, _FAST_TO_READ)[1].tobytes())
