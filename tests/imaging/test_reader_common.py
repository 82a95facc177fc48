"""Files with several frames (tomosynthesis, TIFF pages): exactly the requested frame is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from tests.imaging.dicom_files import PIXELS, build_compressed, build_dataset, encode_jpeg_lossless, save_dicom
from tfm.core.errors import DataError
from tfm.imaging.read_image import read_image, read_pixels
from tfm.imaging.reader_common import Frame

FRAMES = np.stack([PIXELS >> shift for shift in range(5)])


@pytest.mark.parametrize(("frame", "number"), [("first", 1), ("middle", 3), ("last", 5), (1, 1), (4, 4)])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_requested_frame_is_read(frame: Frame, number: int, is_compressed: bool, tmp_path: Path) -> None:
    made = build_dataset(FRAMES)
    if is_compressed:
        made.compress(uid.RLELossless)
    read = read_image(save_dicom(made, tmp_path), frame)
    assert (read.frame, read.frames) == (number, 5)
    np.testing.assert_array_equal(read.pixels, FRAMES[number - 1] << 4)


@pytest.mark.parametrize("frame", [0, 6, -1])
def test_missing_frame_is_refused_with_the_number_of_frames(frame: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 frames"):
        read_pixels(save_dicom(build_dataset(FRAMES), tmp_path), frame)


def test_only_the_requested_frame_is_decoded(tmp_path: Path) -> None:
    broken = encode_jpeg_lossless(PIXELS)[:-700]
    made = build_compressed(
        uid.JPEGLosslessSV1, broken, encode_jpeg_lossless(PIXELS), pixels=np.stack([PIXELS, PIXELS])
    )
    path = save_dicom(made, tmp_path)
    np.testing.assert_array_equal(read_pixels(path, 2), PIXELS << 4)
    with pytest.raises(DataError, match="truncated"):
        read_pixels(path, 1)


@pytest.mark.parametrize(("frame", "number"), [("first", 1), ("middle", 2), ("last", 4), (3, 3)])
def test_requested_page_of_a_tiff_is_read(frame: Frame, number: int, tmp_path: Path) -> None:
    pages = [Image.fromarray(PIXELS >> page) for page in range(1, 5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    read = read_image(tmp_path / "pages.tif", frame)
    assert (read.frame, read.frames) == (number, 4)
    np.testing.assert_array_equal(read.pixels, PIXELS >> number)
    with pytest.raises(DataError, match="4 frames"):
        read_pixels(tmp_path / "pages.tif", 5)
