"""What can go wrong, said so that a person can act on it. Only `ui` and the worker catch these.

TFMError              every message a person may see: what, where, and a hint: what to do
├── SettingsError     a setting is unknown, out of range, or contradicts another
├── DataError         a download, dataset, cache or image is not as needed
├── WeightsError      weights cannot be reached, or do not fit
├── TrainingError     a run cannot go on: NaN, memory, one class only
├── HaltedError       a part of a run was ended from outside: it can go on from what it kept
├── RunError          a run or plan folder is missing, broken or of another kind
│   └── BusyError     somebody else is at work on it right now
└── DiskError         a place cannot be written, or is full
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
    pass


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


_DISK_HINTS: dict[int | None, str] = {
    errno.ENOSPC: "free some space on that disk and start the same thing again: it goes on where it stopped",
    errno.EDQUOT: "your quota there is used up: free some space and start the same thing again",
    errno.EACCES: "choose a folder you may write to, or change its permissions",
    errno.EPERM: "choose a folder you may write to, or change its permissions",
    errno.EROFS: "that disk is read-only: choose another folder",
}


def is_disk_error(error: OSError) -> bool:
    """Told by `told` as it is: nobody else's words would lead to that disk."""
    return error.errno in _DISK_HINTS


def translate_error(error: Exception, log: Path | None = None) -> TFMError:
    """Any error in words for a person. The traceback of a defect goes to `log`, or to a file of its own."""
    if isinstance(error, TFMError):
        return error
    if isinstance(error, OSError) and is_disk_error(error):
        written = error.filename2 or error.filename or (log and log.parent)
        place = f" ({written})" if written else ""
        return DiskError(f"{error.strerror}{place}", hint=_DISK_HINTS[error.errno])
    log = log or Path(tempfile.gettempdir()) / f"tfm-{os.getpid()}.log"
    with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)) + "\n")
    return TFMError(
        f"{type(error).__name__}: {error}", hint=f"this is a defect of the program; what happened is in {log}"
    )
