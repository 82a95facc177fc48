"""The errors that a person can act on. Only `ui` and the worker catch these.

TFMError              what happened and where, with a hint: what to do
├── SettingsError     a setting is unknown, out of range, or contradicts another
├── DataError         a download, dataset, cache or image is missing, damaged or unsuitable
├── WeightsError      weights cannot be downloaded, or do not fit the model
├── TrainingError     a training cannot continue: NaN, memory, only one class
├── HaltedError       a part of a run was ended from outside: the run can be resumed
├── RunError          a run or plan is missing, damaged or of another kind
│   └── BusyError     another process is working on it now
└── DiskError         a folder is not writable, or its disk is full or has failed
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import traceback
from pathlib import Path


class TFMError(Exception):
    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(TFMError):
    """`fields` are the settings the message is about: a form asks again only for these."""

    def __init__(self, message: str, *, hint: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.fields = fields


class DataError(TFMError):
    pass


class WeightsError(TFMError):
    """`steps` are those of a queue that need these weights: it can do without them."""

    def __init__(self, message: str, *, hint: str, steps: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.steps = steps

    def concerns(self, model: str) -> bool:
        """Whether a step of this model needs them. Its steps are named like MODEL, MODEL-seed8 and MODEL/head."""
        return any(step == model or step.startswith((f"{model}-", f"{model}/")) for step in self.steps)


class TrainingError(TFMError):
    pass


class HaltedError(TFMError):
    pass


class RunError(TFMError):
    pass


class BusyError(RunError):
    pass


class DiskError(TFMError):
    pass


_DISK_FAILED = "that disk, or the connection to it, has failed: check it, and start the same thing again"
_TOO_MANY_FILES = "too many files are open: close other programs or raise `ulimit -n`, and start the same thing again"
_DISK_HINTS: dict[int | None, str] = {
    errno.ENOSPC: "free some space on that disk and start the same thing again: it continues where it stopped",
    errno.EDQUOT: "your disk quota is used up: free some space and start the same thing again",
    errno.EACCES: "choose a folder you may write to, or change its permissions",
    errno.EPERM: "choose a folder you may write to, or change its permissions",
    errno.EEXIST: "a file or folder is where the program needs one of the other kind: rename it or move it away",
    errno.ENOTDIR: "a file is where the program needs a folder: rename it or move it away",
    errno.EISDIR: "a folder is where the program needs a file: rename it or move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EROFS: "that disk is read-only: choose another folder",
    **dict.fromkeys((errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE), _DISK_FAILED),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _TOO_MANY_FILES),
}


def is_disk_error(error: OSError) -> bool:
    """Whether `translate_error` explains the error best, because it names the disk."""
    return error.errno in _DISK_HINTS


def translate_error(error: Exception, log: Path | None = None) -> TFMError:
    """Turn any error into one for a person. The traceback of a defect is written to `log`, or to a new file."""
    if isinstance(error, TFMError):
        return error
    if isinstance(error, OSError) and is_disk_error(error):
        written = error.filename2 or error.filename or (log and log.parent)
        place = f" ({written})" if written else ""
        return DiskError(f"{error.strerror}{place}", hint=_DISK_HINTS[error.errno])
    log = log or Path(tempfile.gettempdir()) / f"tfm-{os.getpid()}.log"
    with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)) + "\n")
    return TFMError(f"{type(error).__name__}: {error}", hint=f"this is a bug in the program; the details are in {log}")
