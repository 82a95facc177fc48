"""An image that can never be preprocessed is left out with its reason; it is tried again when its file changes."""

import cv2
import numpy as np
import pytest

from tests.data.caches import build, chain, contents, film, without
from tests.returned import returned
from tfm.core.errors import DataError
from tfm.data.cache import row_maker
from tfm.data.cache.cache import LEFT_OUT, Cache
from tfm.data.cache.left_out import build_cache_without_bad_images


def build_without_bad(folder, dataset, **steps):
    folder.mkdir(exist_ok=True)
    return returned(build_cache_without_bad_images(folder, dataset, chain(**steps), version=1, workers=1))


@pytest.fixture
def spoiled(dataset):
    """Image 2 ends in its middle, image 7 is black."""
    whole = film(dataset, 2).read_bytes()
    film(dataset, 2).unlink()  # a link to the download
    film(dataset, 2).write_bytes(whole[: len(whole) // 2])
    film(dataset, 7).unlink()
    film(dataset, 7).write_bytes(cv2.imencode(".png", np.zeros((400, 300), np.uint16))[1].tobytes())
    return dataset, whole


def test_bad_images_are_left_out_with_their_reason_and_the_rest_is_made(spoiled, tmp_path):
    dataset, _ = spoiled
    reasons = build_without_bad(tmp_path / "c", dataset)
    names = [film(dataset, row).stem for row in (2, 7)]
    assert list(reasons) == names
    assert "truncated" in reasons[names[0]]
    assert "breast" in reasons[names[1]]
    assert Cache.open(tmp_path / "c").read_left_out() == reasons
    (tmp_path / "c" / LEFT_OUT).unlink()
    build(tmp_path / "expected", without(dataset, 2, 7), chain())
    assert contents(tmp_path / "c") == contents(tmp_path / "expected")


def test_an_image_that_was_left_out_is_tried_again_only_when_file_or_steps_change(spoiled, tmp_path, monkeypatch):
    dataset, whole = spoiled
    build_without_bad(tmp_path / "c", dataset)
    tried = []
    make = row_maker.preprocess_image
    monkeypatch.setattr(row_maker, "preprocess_image", lambda path, *rest: (tried.append(path), make(path, *rest))[1])
    build_without_bad(tmp_path / "c", dataset)
    assert tried == []
    film(dataset, 2).write_bytes(whole)
    assert list(build_without_bad(tmp_path / "c", dataset)) == [film(dataset, 7).stem]
    assert tried == [film(dataset, 2)]
    build_without_bad(tmp_path / "other", dataset, **{"resize.width": 48})
    assert film(dataset, 7) in tried


def test_an_image_that_another_try_may_read_stops_the_build(spoiled, tmp_path):
    dataset, _ = spoiled
    film(dataset, 11).unlink()  # as if its disk were away
    with pytest.raises(DataError, match="3 images could not be made"):
        build_without_bad(tmp_path / "c", dataset)
    assert not (tmp_path / "c" / LEFT_OUT).exists()
