"""Append a SHA-256 to a file and check it. One rename then replaces content and checksum together."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfm.core import files

_MARK = b"\nsha256:"
_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size


def append_checksum(path: Path) -> None:
    digest = files.compute_sha256(path)
    with open(path, "ab") as file:
        file.write(_MARK + digest.encode())


def has_checksum(path: Path) -> bool:
    return _read_checksum(path).startswith(_MARK)


def has_valid_checksum(path: Path) -> bool:
    """False for a file without a checksum."""
    size, digest = path.stat().st_size - _LENGTH, hashlib.sha256()
    with open(path, "rb") as file:
        for start in range(0, size, 1 << 20):
            digest.update(file.read(min(1 << 20, size - start)))
    return _read_checksum(path) == _MARK + digest.hexdigest().encode()


def _read_checksum(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(path.stat().st_size - _LENGTH, 0))
        return file.read()
