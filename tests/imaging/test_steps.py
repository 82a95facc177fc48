"""What is true of every step, driven by the table of steps; then what each one promises by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfm.core.errors import DataError
from tfm.core.files import read_yaml
from tfm.core.settings import resolve
from tfm.data.phantom.film import Phantom, draw
from tfm.data.phantom.spec import Exposure, Lesion
from tfm.imaging.breast import breast_mask
from tfm.imaging.chain import preprocess_one, run_chain
from tfm.imaging.film import Film
from tfm.imaging.settings import STEPS, ChainSettings, CropBreast, Intensity, Resize

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = resolve(ChainSettings, read_yaml(REPOSITORY / "configs" / "preprocess" / "fast.yaml")["settings"], {})
SIDES = ("LEFT", "RIGHT")


def phantom(side: str, kind: str = "mass") -> Phantom:
    return draw(Exposure(2, "P_00007", side, "CC", 2, 400, 0.1, (Lesion(1, kind, malignant=True),)))  # type: ignore[arg-type]


def film_of(truth: Phantom) -> Film:
    return Film(truth.image, breast_mask(truth.image), truth.lesion_masks[0].astype(np.uint8) * np.uint8(2))


@pytest.fixture(scope="module", params=SIDES)
def film(request: pytest.FixtureRequest) -> Film:
    return film_of(phantom(request.param))


def frozen(film: Film) -> Film:
    """The same film with arrays that cannot be written to."""
    copies = {name: getattr(film, name).copy() for name in ("image", "breast", "lesions")}
    for pixels in copies.values():
        pixels.flags.writeable = False
    return replace(film, **copies)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_step_keeps_the_forms_of_a_film_and_leaves_its_input_alone(name: str, kind: type, film: Film) -> None:
    given = frozen(replace(film, image=(film.image // (256 if kind is np.uint8 else 1)).astype(kind)))
    before = replace(given, image=given.image.copy(), breast=given.breast.copy(), lesions=given.lesions.copy())
    done = run_chain(given, {name: STEPS[name]()})
    assert done.image.shape == done.breast.shape == done.lesions.shape
    assert done.image.dtype in (np.uint8, np.uint16)
    assert done.breast.dtype == bool
    assert done.lesions.dtype == np.uint8
    assert done.image.any()
    assert given.record == {}
    for pixels in ("image", "breast", "lesions"):
        np.testing.assert_array_equal(getattr(given, pixels), getattr(before, pixels))


@pytest.mark.parametrize("name", STEPS)
def test_lesions_follow_the_image_through_every_step(name: str, film: Film) -> None:
    """The lesion mask, painted into the image, and the lesion mask itself stay one thing."""
    painted = replace(film, image=np.where(film.lesions > 0, 60000, np.where(film.breast, 9000, 0)).astype(np.uint16))
    done = run_chain(painted, {name: STEPS[name]()})
    bright, lesion = done.image > 0.6 * done.image.max(), done.lesions > 0
    assert set(np.unique(done.lesions)) == {0, 2}
    assert (bright & lesion).sum() / (bright | lesion).sum() > 0.97
    assert (lesion <= done.breast).all()


@pytest.mark.parametrize("name", STEPS)
def test_every_step_gives_the_same_twice(name: str, film: Film) -> None:
    once, again = (run_chain(film, {name: STEPS[name]()}) for _ in range(2))
    np.testing.assert_array_equal(once.image, again.image)
    assert once.record == again.record


def test_annotations_black_out_frame_and_label_and_nothing_in_the_breast() -> None:
    truth = phantom("RIGHT")
    film = film_of(truth)
    done = run_chain(film, {"annotations": STEPS["annotations"]()})
    assert truth.image[truth.label_mask].max() > 60000
    assert not done.image[truth.label_mask].any()
    np.testing.assert_array_equal(done.image[film.breast], film.image[film.breast])


@pytest.mark.parametrize("side", SIDES)
def test_orient_brings_every_chest_wall_to_the_left_and_says_so(side: str) -> None:
    done = run_chain(film_of(phantom(side)), {"orient": STEPS["orient"]()})
    assert done.breast[:, 0].sum() > 0.3 * len(done.breast)
    assert not done.breast[:, -1].any()
    assert done.record["orient"] == {"flipped": side == "RIGHT"}


def test_orient_makes_a_mirrored_film_the_same_film(film: Film) -> None:
    mirrored = Film(*(np.ascontiguousarray(p[:, ::-1]) for p in (film.image, film.breast, film.lesions)))
    here, there = (run_chain(one, {"orient": STEPS["orient"]()}) for one in (film, mirrored))
    np.testing.assert_array_equal(here.image, there.image)
    assert here.record != there.record


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_crop_keeps_the_whole_breast_and_the_margin_asked_for(margin: float, film: Film) -> None:
    done = run_chain(film, {"crop_breast": CropBreast(margin=margin)})
    assert done.breast.sum() == film.breast.sum()
    rows = np.flatnonzero(done.breast.any(axis=1))
    assert rows[0] == len(done.breast) - 1 - rows[-1] == round(margin * len(film.image))
    box = done.record["crop_breast"]
    np.testing.assert_array_equal(done.image, film.image[box["top"] : box["bottom"], box["left"] : box["right"]])


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (200, 64), (700, 700)])
def test_resize_keeps_proportions_and_the_left_edge(size: tuple[int, int]) -> None:
    image = np.full((400, 200), 50000, np.uint16)
    film = Film(image, np.ones(image.shape, bool), np.zeros(image.shape, np.uint8))
    done = run_chain(film, {"resize": Resize(height=size[0], width=size[1])})
    rows, columns = np.flatnonzero(done.image.any(axis=1)), np.flatnonzero(done.image.any(axis=0))
    assert done.image.shape == size
    assert columns[0] == 0
    assert rows[0] == pytest.approx(size[0] - 1 - rows[-1], abs=1)
    assert rows.size / columns.size == pytest.approx(2, rel=0.05)
    assert rows.size == size[0] or columns.size == size[1]
    assert set(np.unique(done.image)) <= {0, 50000}


def test_a_speck_of_calcification_survives_the_smallest_size_and_classes_never_mix() -> None:
    lesions = np.zeros((4000, 3000), np.uint8)
    lesions[1000:1003, 700:703] = 3
    lesions[2000:2600, 900:1500] = 1
    film = Film(np.ones(lesions.shape, np.uint16), np.ones(lesions.shape, bool), lesions)
    done = run_chain(film, {"resize": Resize(height=64, width=64)})
    assert 1 <= (done.lesions == 3).sum() <= 2
    assert (done.lesions == 1).sum() == pytest.approx(600 * 600 * (64 / 4000) ** 2, rel=0.15)
    assert set(np.unique(done.lesions)) == {0, 1, 3}
    y, x = np.argwhere(done.lesions == 3)[0]
    assert (y, x) == (1001 * 64 // 4000, 701 * 64 // 4000)


@pytest.mark.parametrize("bits", [8, 16])
def test_intensity_uses_all_greys_and_any_exposure_gives_the_same(bits: int, film: Film) -> None:
    step = {"intensity": Intensity(bits=bits)}  # type: ignore[arg-type]
    done = run_chain(film, step)
    dimmer = run_chain(replace(film, image=film.image // 2 + 500), step)
    white = 2**bits - 1
    assert done.image.dtype == np.dtype(f"uint{bits}")
    inside = done.image[film.breast]
    assert (inside.min(), inside.max()) == (0, white)
    assert (np.mean(inside == 0), np.mean(inside == white)) == (pytest.approx(0.005, abs=2e-3),) * 2
    assert np.abs(done.image.astype(int) - dimmer.image).max() <= white / 200


def test_a_breast_of_one_grey_becomes_black_and_not_nan() -> None:
    image = np.full((50, 40), 300, np.uint16)
    film = Film(image, np.ones(image.shape, bool), np.zeros(image.shape, np.uint8))
    assert not run_chain(film, {"intensity": Intensity()}).image.any()


def test_steps_run_in_the_order_of_the_chain(film: Film) -> None:
    small_first = run_chain(film, {"resize": Resize(height=64, width=64), "crop_breast": CropBreast()})
    assert list(small_first.record) == ["resize", "crop_breast"]
    assert small_first.image.shape != (64, 64)


@pytest.mark.parametrize("kind", ["mass", "calc"])
def test_fast_makes_a_training_image_of_a_file_with_its_lesion(kind: str, tmp_path: Path) -> None:
    truth = phantom("RIGHT", kind)
    cv2.imwrite(str(tmp_path / "film.png"), truth.image)
    mask = truth.lesion_masks[0].astype(np.uint8)
    height, width = mask.shape
    smaller = cv2.resize(mask, (round(0.87 * width), round(0.87 * height)), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "mask.png"), 3 * mask)
    cv2.imwrite(str(tmp_path / "smaller.png"), 3 * smaller)
    done = preprocess_one(tmp_path / "film.png", tmp_path / "mask.png", FAST)
    assert done.image.shape == done.breast.shape == done.lesions.shape == (512, 512)
    assert done.image.dtype == np.uint8
    assert done.breast[:, 0].any()
    assert set(np.unique(done.lesions)) == {0, 3}
    box, scale = done.record["crop_breast"], done.record["resize"]["scale"]
    assert box["bottom"] - box["top"] < height
    assert (done.lesions > 0).sum() == pytest.approx(mask.sum() * scale**2, rel=0.05)
    resized = preprocess_one(tmp_path / "film.png", tmp_path / "smaller.png", FAST).lesions
    assert set(np.unique(resized)) == {0, 3}
    assert ((resized > 0) & (done.lesions > 0)).sum() / ((resized > 0) | (done.lesions > 0)).sum() > 0.9
    assert not preprocess_one(tmp_path / "film.png", None, FAST).lesions.any()


def test_fast_refuses_a_black_film_by_words(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((300, 200), np.uint16))
    with pytest.raises(DataError, match="no breast"):
        preprocess_one(tmp_path / "black.png", None, FAST)
