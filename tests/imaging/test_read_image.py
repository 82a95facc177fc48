"""One function reads every format; whatever keeps a file from being read becomes a DataError."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.dicom_files import PIXELS, build_dataset, save_dicom
from tfm.core.errors import DataError
from tfm.imaging.dicom import read_dicom
from tfm.imaging.read_image import read_pixels
from tfm.imaging.reader_common import UnreadableError

WORDS = PIXELS << 4


def test_dicom_file_needs_no_suffix(tmp_path: Path) -> None:
    path = save_dicom(build_dataset(), tmp_path).rename(tmp_path / "film.png")
    np.testing.assert_array_equal(read_pixels(path), WORDS)


def test_missing_file_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pixels(tmp_path / "absent.dcm")
    with pytest.raises(DataError, match="a folder"):
        read_pixels(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a plain file"):
        read_pixels(tmp_path / "pipe")


def test_file_without_read_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_dicom(build_dataset(), tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match="may not read"):
        read_pixels(path)


def test_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = save_dicom(build_dataset(np.tile(PIXELS, (9, 9))), tmp_path)

    class ShrinkingFile(io.BufferedReader):
        def readinto(self, buffer: object, /) -> int:
            os.truncate(path, 700)
            return super().readinto(buffer)  # type: ignore[arg-type]

    with ShrinkingFile(io.FileIO(path)) as file, pytest.raises(UnreadableError, match="truncated while it was read"):
        read_dicom(file, "first")


def test_file_that_appears_and_vanishes_is_refused_or_read_whole(tmp_path: Path) -> None:
    source = save_dicom(build_dataset(), tmp_path)
    content, path, is_over = source.read_bytes(), tmp_path / "comes-and-goes", threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            path.write_bytes(content)
            path.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(200):
            with contextlib.suppress(DataError):
                np.testing.assert_array_equal(read_pixels(path), WORDS)
    finally:
        is_over.set()
        other.join()


def test_reading_images_imports_no_torch_pandas_or_scipy() -> None:
    code = "import sys, tfm.imaging.read_image; sys.exit(bool({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
