"""Disks of their own for tests that run as root: a small one that gets full, and one that loses its power."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SHUT_DOWN = 0x8004587D  # the call by which file systems of Linux are tested: stop, without writing what is in memory
WITHOUT_THE_LOG = struct.pack("I", 2)
# ext4 without its help for programs that do not sync, so that other file systems are covered too. Its journal is
# written every so many seconds: with 1, names reach the disk before contents; with 300, neither does.
UNHELPFUL = "loop,noauto_da_alloc,data=writeback,commit={seconds}"


@contextlib.contextmanager
def mount_small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir(parents=True)
    run_as_root("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        detach(folder)


def fill(disk: Path, *, free: int = 0) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(disk).free - free)))
    return filler


class PowerlessDisk:
    """An ext4 file system in a file. What was not synced is lost when it loses its power."""

    def __init__(self, folder: Path, megabytes: int = 200) -> None:
        self._image, self.folder = folder / "disk.img", folder / "disk"
        self.folder.mkdir(parents=True)
        with open(self._image, "wb") as file:
            file.truncate(megabytes << 20)
        run_as_root("mkfs.ext4", "-q", "-F", str(self._image))

    def mount(self, journal_seconds: int) -> None:
        options = UNHELPFUL.format(seconds=journal_seconds)
        run_as_root("mount", "-o", options, str(self._image), str(self.folder))

    def restore_power(self) -> None:
        """Mount the disk again, as a start of the machine does."""
        unmount(self.folder)
        self.mount(journal_seconds=5)

    def remove(self) -> None:
        detach(self.folder)
        self._image.unlink()


def cut_power(disk: Path) -> None:
    """Stop a disk at once. Nothing is written to it or read from it any more."""
    folder = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, SHUT_DOWN, WITHOUT_THE_LOG)
    finally:
        os.close(folder)


def unmount(folder: Path) -> None:
    """A process that was killed keeps a disk for an instant."""
    deadline = time.monotonic() + 20
    while subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, f"{folder} is still used"
        time.sleep(0.05)


def detach(folder: Path) -> None:
    """Unmount also while a reader of results has a file open."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run_as_root(*command: str) -> None:
    tools = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    try:
        subprocess.run(command, capture_output=True, check=True, env=tools)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{command[0]} is not allowed or not installed here")
