"""Make one row of a cache: preprocess an image and write the row's file. Every worker process imports this module.
The needed rows are listed in `writer`, which packs them into arrays."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfm.core import files
from tfm.core.errors import TFMError
from tfm.data.cache.arrays import ARRAYS, Form, Row
from tfm.imaging.chain import PreprocessedImage, preprocess_image
from tfm.imaging.settings import ChainSettings

PixelCheck = Callable[[np.ndarray], None]  # raises a DataError for pixels that are no mammogram


@dataclass(frozen=True)
class RowTask:
    number: int  # of the row
    film: Path
    mask: Path | None
    file: Path  # to write the row to


@dataclass(frozen=True)
class FailedRow:
    """One image that cannot be preprocessed; the others can."""

    message: str
    hint: str
    traceback: str = ""  # of a defect of the program
    permanent: bool = True  # False: another try may succeed


@dataclass(frozen=True)
class UnwrittenRow:
    """The disk refused the row, and will refuse others."""

    form: Form
    error: OSError


@dataclass(frozen=True)
class RowMaker:
    """Sent to each worker process. `count` is the number of rows of the whole cache."""

    chain: ChainSettings
    count: int
    check: PixelCheck | None = None

    def __call__(self, task: RowTask) -> Form | FailedRow | UnwrittenRow:
        """Return the form of the written row, or why there is none."""
        try:
            image = preprocess_image(task.film, task.mask, self.chain, self.check)
        except TFMError as error:
            return FailedRow(error.message, error.hint, permanent=not _is_of_this_moment(error.__context__))
        except Exception as error:  # one image that breaks a step must not cost the others
            message = f"{task.film}: {type(error).__name__}: {error}"
            hint = "this is a defect of the program; its traceback is in the list of failures"
            return FailedRow(message, hint, traceback.format_exc())
        form = Form.of(image.image)
        try:
            if self.count * form.row_bytes > shutil.disk_usage(task.file.parent.parent).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            task.file.parent.mkdir(exist_ok=True)
            files.write_bytes(task.file, encode_row(image))
        except OSError as error:
            return UnwrittenRow(form, error)
        return form


def _is_of_this_moment(cause: BaseException | None) -> bool:
    """Whether disk or memory refused an image, not its content."""
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None)


def encode_row(image: PreprocessedImage) -> bytes:
    record = json.dumps(image.record, sort_keys=True)
    buffer = io.BytesIO()
    np.savez(buffer, images=image.image, breast=image.breast, lesions=image.lesions, record=record)
    return zlib.compress(buffer.getvalue(), level=1)


def decode_row(content: bytes) -> tuple[Row, str]:
    """Return the row and its record, as JSON."""
    with np.load(io.BytesIO(zlib.decompress(content))) as stored:
        return {name: stored[name] for name in ARRAYS}, str(stored["record"])
