"""A chain turns a file into a training image with its lesions in place, or refuses it with a reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.imaging.drawn_mammograms import PRESETS, draw_phantom, resolve_chain
from tfm.core.errors import DataError
from tfm.imaging.chain import preprocess_image

SIZES = {"fast": (512, 320), "thesis": (512, 512), "resnet": (224, 224), "highres": (1152, 704)}


def write_files(folder: Path, side: str = "RIGHT", kind: str = "mass") -> tuple[Path, Path, np.ndarray]:
    truth = draw_phantom(side, kind)
    mask = truth.lesion_masks[0].astype(np.uint8)
    cv2.imwrite(str(folder / "film.png"), truth.image)
    cv2.imwrite(str(folder / "mask.png"), 3 * mask)
    return folder / "film.png", folder / "mask.png", mask


def compute_overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
def test_every_preset_makes_a_training_image_with_its_lesion_inside_the_breast(preset, side, tmp_path) -> None:
    film, mask, _ = write_files(tmp_path, side)
    done = preprocess_image(film, mask, resolve_chain(preset))
    assert done.image.shape == done.breast.shape == done.lesions.shape == SIZES[preset]
    assert done.image.dtype == (np.uint16 if preset == "highres" else np.uint8)
    assert set(np.unique(done.lesions)) == {0, 3}
    assert done.breast[done.lesions > 0].all()
    assert done.image[done.lesions > 0].mean() > done.image[done.breast > 0].mean()
    beside = done.image[cv2.dilate(done.breast, np.ones((7, 7), np.uint8)) == 0]
    assert beside.max() <= 0.02 * done.image.max(), "label and border are gone"


@pytest.mark.parametrize("preset", ["fast", "highres"])
def test_real_lesions_are_hardly_ever_plain_white_and_breasts_fill_half_of_the_image(preset, shared_data) -> None:
    saturated, filled = [], []
    for film in sorted((shared_data / "mass256" / "images").glob("*.png"))[::24]:
        done = preprocess_image(film, shared_data / "mass256" / "masks" / film.name, resolve_chain(preset))
        saturated.append(np.mean(done.image[done.lesions > 0] == np.iinfo(done.image.dtype).max))
        filled.append(done.breast.mean())
    assert len(saturated) == 52
    assert np.mean(saturated) < 0.005
    assert np.mean(filled) > 0.5


@pytest.mark.parametrize("kind", ["mass", "calc"])
def test_area_and_position_of_a_lesion_are_kept(kind: str, tmp_path: Path) -> None:
    film, mask_file, mask = write_files(tmp_path, kind=kind)
    height, width = mask.shape
    smaller = cv2.resize(mask, (round(0.87 * width), round(0.87 * height)), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "smaller.png"), 3 * smaller)
    done = preprocess_image(film, mask_file, resolve_chain("fast"))
    box, scale = done.record["crop_breast"], done.record["resize"]["scale"]
    assert box["bottom"] - box["top"] < height
    assert (done.lesions > 0).sum() == pytest.approx(mask.sum() * scale**2, rel=0.05)
    of_smaller = preprocess_image(film, tmp_path / "smaller.png", resolve_chain("fast"))
    assert compute_overlap(of_smaller.lesions, done.lesions) > 0.9
    assert of_smaller.record["pixels"] == done.record["pixels"]
    assert of_smaller.record["lesions"] != done.record["lesions"]


def test_record_says_which_share_of_a_lesion_a_fixed_border_leaves(tmp_path: Path) -> None:
    film, mask, drawn = write_files(tmp_path, "LEFT")
    assert preprocess_image(film, mask, resolve_chain("fast")).record["lesions_kept"] == pytest.approx(1, abs=0.03)
    at_the_wall = np.zeros_like(drawn)
    at_the_wall[180:220, : drawn.shape[1] // 10] = 2
    cv2.imwrite(str(mask), at_the_wall)
    kept = preprocess_image(film, mask, resolve_chain("thesis")).record["lesions_kept"]
    assert kept == pytest.approx(0.5, abs=0.05)
    assert preprocess_image(film, mask, resolve_chain("thesis", **{"border.share": 0.2})).record["lesions_kept"] == 0


def test_lesion_that_is_cut_off_does_not_reappear_in_the_padding(tmp_path: Path) -> None:
    film, mask, drawn = write_files(tmp_path, "LEFT")
    beside = np.zeros_like(drawn)
    beside[180:220, -drawn.shape[1] // 30 :] = 2
    cv2.imwrite(str(mask), beside)
    done = preprocess_image(film, mask, resolve_chain("thesis"))
    assert not done.lesions.any()
    assert done.record["lesions_kept"] == 0


def test_16_bit_mask_is_refused_and_another_size_is_recorded(tmp_path: Path) -> None:
    film, mask, drawn = write_files(tmp_path)
    cv2.imwrite(str(mask), drawn.astype(np.uint16))
    with pytest.raises(DataError, match=r"mask\.png.*16 bits"):
        preprocess_image(film, mask, resolve_chain("fast"))
    cv2.imwrite(str(mask), drawn[::2])
    assert preprocess_image(film, mask, resolve_chain("fast")).record["mask_size"] == [
        drawn.shape[0] // 2,
        drawn.shape[1],
    ]


def test_empty_or_missing_mask_means_no_lesion(tmp_path: Path) -> None:
    film, mask, drawn = write_files(tmp_path)
    cv2.imwrite(str(mask), np.zeros_like(drawn))
    assert not preprocess_image(film, mask, resolve_chain("fast")).lesions.any()
    none = preprocess_image(film, None, resolve_chain("fast"))
    assert not none.lesions.any()
    assert none.record["lesions"] == ""


def test_pixel_hash_does_not_depend_on_the_file_format(tmp_path: Path) -> None:
    film, _, _ = write_files(tmp_path)
    pixels = cv2.imread(str(film), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tmp_path / "again.tiff"), pixels)
    changed = pixels.copy()
    changed[100, 100] ^= 1
    cv2.imwrite(str(tmp_path / "changed.png"), changed)
    names = [
        preprocess_image(tmp_path / name, None, resolve_chain("resnet")).record["pixels"]
        for name in ("film.png", "again.tiff", "changed.png")
    ]
    assert names[0] == names[1] != names[2]


def make_noise(shape: tuple[int, int], kind: type) -> np.ndarray:
    return np.random.default_rng(3).integers(0, np.iinfo(kind).max, shape).astype(kind)


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((300, 200), np.uint16),
        np.full((300, 200), 40000, np.uint16),
        np.full((1, 1), 7, np.uint8),
        np.eye(3, 2, dtype=np.uint8),
        make_noise((2, 900), np.uint16),
        make_noise((900, 2), np.uint8),
        np.pad(np.full((3, 3), 255, np.uint8), 150),
    ],
    ids=["black", "one grey", "one pixel", "tiny", "flat", "narrow", "a speck"],
)
def test_degenerate_image_is_refused_or_gives_a_complete_result(preset, pixels, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "odd.png"), pixels)
    try:
        done = preprocess_image(tmp_path / "odd.png", None, resolve_chain(preset))
    except DataError:
        return
    assert done.image.shape == done.breast.shape == SIZES[preset]
    assert done.breast.any()


def test_black_image_is_refused_by_file_name(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((300, 200), np.uint16))
    with pytest.raises(DataError, match=r"black\.png.*no breast"):
        preprocess_image(tmp_path / "black.png", None, resolve_chain("fast"))
