"""What holds for every step, over the table of steps; then what each one promises."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.imaging.drawn_mammograms import apply_all, draw_phantom, find_breast_mask, project_drawn_lesions
from tfm.imaging.geometry import Geometry
from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import STEPS, Blur, Border, Clahe, CropBreast, Intensity, Polarity, Resize

SIDES = ("LEFT", "RIGHT")


@pytest.fixture(scope="module", params=SIDES)
def film(request: pytest.FixtureRequest) -> Mammogram:
    """With the breast found, as after the first step that needs it."""
    return Mammogram(draw_phantom(request.param).image).locate_breast()[0]


def freeze(pixels: np.ndarray) -> np.ndarray:
    copy = pixels.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_step_returns_a_grey_image_and_leaves_its_input_unchanged(name: str, kind: type, film: Mammogram) -> None:
    given = replace(film, image=freeze((film.image // (256 if kind is np.uint8 else 1)).astype(kind)))
    done = apply_all(given, {name: STEPS[name]()})
    assert done.image.ndim == 2
    assert done.image.dtype in (np.uint8, np.uint16)
    assert done.image.any()
    assert given.record == {}
    assert find_breast_mask(done).shape == done.image.shape


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("side", SIDES)
def test_lesions_and_breast_follow_the_image_through_every_step(name: str, side: str) -> None:
    """A lesion painted into the image still agrees with the projected lesion mask; so does the breast."""
    truth = draw_phantom(side)
    found = Mammogram(truth.image).locate_breast()[0]
    inside, lesion = find_breast_mask(found), truth.lesion_masks[0].astype(np.uint8) * np.uint8(2)
    tissue = np.linspace(5000, 12000, len(inside))[:, None] * inside
    painted = replace(found, image=np.where(lesion > 0, 60000, tissue).astype(np.uint16))
    done = apply_all(painted, {name: STEPS[name]()})
    seen, tissue = project_drawn_lesions(done, lesion), find_breast_mask(done)
    greys = np.sort(np.unique(done.image[tissue & (seen == 0)]))
    bright = done.image > (float(greys[len(greys) // 2]) + float(done.image.max())) / 2
    assert set(np.unique(seen)) == {0, 2}
    assert (bright & (seen > 0)).sum() / (bright | (seen > 0)).sum() > 0.95
    assert tissue[seen > 0].all()


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_deterministic(name: str, film: Mammogram) -> None:
    once, again = (apply_all(film, {name: STEPS[name]()}) for _ in range(2))
    np.testing.assert_array_equal(once.image, again.image)
    assert (once.record, once.geometry) == (again.record, again.geometry)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_polarity_inverts_only_bright_backgrounds(side: str, view: str) -> None:
    image = draw_phantom(side, view=view).image
    for given in (image, (image // 256).astype(np.uint8)):
        turned = apply_all(Mammogram(np.iinfo(given.dtype).max - given), {"polarity": Polarity()})
        assert turned.record == {"polarity": {"turned": True}}
        np.testing.assert_array_equal(turned.image, given)
        kept = apply_all(Mammogram(given), {"polarity": Polarity()})
        assert kept.record == {"polarity": {"turned": False}}
        np.testing.assert_array_equal(kept.image, given)
    assert apply_all(Mammogram(image), {"polarity": Polarity(turn="always")}).record == {"polarity": {"turned": True}}


def test_polarity_is_found_for_every_real_mammogram_and_its_inverse(shared_data) -> None:
    for path in sorted((shared_data / "film").glob("*.png")) + sorted(
        (shared_data / "mass256/images").glob("*1_*.png")
    ):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for given, turned in ((image, False), (np.iinfo(image.dtype).max - image, True)):
            assert apply_all(Mammogram(given), {"polarity": Polarity()}).record["polarity"]["turned"] == turned, (
                path.name
            )


def test_border_cuts_exactly_the_bright_strips() -> None:
    image = draw_phantom("LEFT").image
    image[:8], image[-9:], image[:, -12:] = 65535, 65535, 65535
    done = apply_all(Mammogram(image), {"border": Border()})
    assert done.record["border"] == {"top": 8, "bottom": 391, "left": 0, "right": image.shape[1] - 12}
    np.testing.assert_array_equal(done.image, image[8:391, :-12])


def test_border_cuts_a_fixed_share_off_every_side() -> None:
    image = np.ones((400, 300), np.uint16)
    done = apply_all(Mammogram(image), {"border": Border(cut="share", share=0.05)})
    assert done.record["border"] == {"top": 20, "bottom": 380, "left": 15, "right": 285}


@pytest.mark.parametrize("side", SIDES)
def test_annotations_blackens_frame_and_label_but_nothing_in_the_breast(side: str) -> None:
    truth = draw_phantom(side)
    done = apply_all(Mammogram(truth.image), {"annotations": STEPS["annotations"]()})
    assert truth.image[truth.label_mask].max() > 60000
    assert not done.image[truth.label_mask].any()
    inside = find_breast_mask(done)
    np.testing.assert_array_equal(done.image[inside], truth.image[inside])


@pytest.mark.parametrize("side", SIDES)
def test_orient_moves_the_chest_wall_to_the_left_and_records_it(side: str) -> None:
    done = apply_all(Mammogram(draw_phantom(side).image), {"orient": STEPS["orient"]()})
    inside = find_breast_mask(done)
    assert inside[:, 0].sum() > 0.3 * len(inside)
    assert not inside[:, -1].any()
    assert done.record == {"orient": {"flipped": side == "RIGHT"}}
    assert apply_all(done, {"orient": STEPS["orient"]()}).record == {"orient": {"flipped": False}}


@pytest.mark.parametrize("side", SIDES)
def test_orient_gives_the_same_before_and_after_resize(side: str) -> None:
    film, orient, resize = Mammogram(draw_phantom(side).image), STEPS["orient"](), Resize(height=90, width=90)
    before = apply_all(film, {"orient": orient, "resize": resize})
    after = apply_all(film, {"resize": resize, "orient": orient})
    assert np.abs(before.image.astype(int) - after.image).max() <= 1
    np.testing.assert_allclose(*(list(one.geometry.describe().values()) for one in (before, after)))


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_crop_keeps_the_whole_breast_and_the_margin(margin: float, film: Mammogram) -> None:
    done = apply_all(film, {"crop_breast": CropBreast(margin=margin)})
    inside = find_breast_mask(done)
    assert inside.sum() == pytest.approx(find_breast_mask(film).sum(), abs=20)  # projected onto other pixels
    rows = np.flatnonzero(inside.any(axis=1))
    assert rows[0] == pytest.approx(round(margin * len(film.image)), abs=1.6)  # the outline is the thumbnail's
    assert len(inside) - 1 - rows[-1] == pytest.approx(round(margin * len(film.image)), abs=1.6)
    box = done.record["crop_breast"]
    np.testing.assert_array_equal(done.image, film.image[box["top"] : box["bottom"], box["left"] : box["right"]])


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (200, 64), (700, 700)])
@pytest.mark.parametrize("side", SIDES)
def test_resize_keeps_proportions_and_the_chest_wall_at_the_edge(size: tuple[int, int], side: str) -> None:
    film = Mammogram(draw_phantom(side).image).locate_breast()[0]
    film = replace(film, image=np.full(film.image.shape, 50000, np.uint16))
    done = apply_all(film, {"resize": Resize(height=size[0], width=size[1])})
    rows, columns = np.flatnonzero(done.image.any(axis=1)), np.flatnonzero(done.image.any(axis=0))
    assert done.image.shape == size
    assert (columns[0] == 0) if side == "LEFT" else (columns[-1] == size[1] - 1)
    assert rows[0] == pytest.approx(size[0] - 1 - rows[-1], abs=1)
    assert rows.size / columns.size == pytest.approx(film.image.shape[0] / film.image.shape[1], rel=0.05)
    assert rows.size == size[0] or columns.size == size[1]
    assert set(np.unique(done.image)) <= {0, 50000}


@pytest.mark.parametrize("filter", ["gaussian", "bilateral"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_blur_equals_opencv_in_the_breast_and_leaves_the_background(filter: str, kind: type, film: Mammogram) -> None:
    image = (film.image // (256 if kind is np.uint8 else 1)).astype(kind)
    done = apply_all(replace(film, image=image), {"blur": Blur(filter=filter)})  # type: ignore[arg-type]
    scale = 257 if kind is np.uint16 else 1
    if filter == "gaussian":
        plain = cv2.GaussianBlur(image, (5, 5), 0).astype(float)
    else:
        plain = cv2.bilateralFilter(image.astype(np.float32), 5, 90.0 * scale, 90).astype(float)
    inside = find_breast_mask(film)
    assert np.abs(done.image - plain)[inside].max() <= 1
    beside = ~cv2.dilate(inside.astype(np.uint8), np.ones((41, 41))).astype(bool)
    columns = np.flatnonzero(~cv2.dilate(inside.astype(np.uint8), np.ones((9, 9))).any(axis=0))
    assert beside.any()
    assert columns.size
    np.testing.assert_array_equal(done.image[:, columns], image[:, columns])


@pytest.mark.parametrize("share", [0.15, 0.24])
def test_blur_and_annotations_accept_an_image_cropped_after_the_breast_was_found(share: float, film: Mammogram) -> None:
    cut = apply_all(film, {"border": Border(cut="share", share=share)})
    blurred = apply_all(cut, {"blur": Blur()}).image
    inside = find_breast_mask(cut)
    np.testing.assert_array_equal(blurred[inside], cv2.GaussianBlur(cut.image, (5, 5), 0)[inside])
    assert not apply_all(cut, {"annotations": STEPS["annotations"]()}).image[~inside].any()


def test_clahe_raises_contrast_in_the_breast_and_keeps_black_black(film: Mammogram) -> None:
    eight = replace(film, image=(film.image // 256).astype(np.uint8))
    flat = apply_all(eight, {"annotations": STEPS["annotations"]()})
    done = apply_all(flat, {"clahe": Clahe()})
    inside = find_breast_mask(film)
    middle = cv2.erode(inside.astype(np.uint8), np.ones((31, 31))) > 0
    assert done.image[middle].std() > flat.image[middle].std()
    assert not done.image[:, ~inside.any(axis=0)].any()


@pytest.mark.parametrize("bits", [8, 16])
def test_intensity_uses_the_full_range_whatever_the_exposure(bits: int, film: Mammogram) -> None:
    step = {"intensity": Intensity(bits=bits)}  # type: ignore[arg-type]
    done = apply_all(film, step)
    dimmer = apply_all(replace(film, image=film.image // 2 + 500), step)
    white = 2**bits - 1
    assert done.image.dtype == np.dtype(f"uint{bits}")
    inside = done.image[find_breast_mask(film)]
    assert (inside.min(), inside.max()) == (0, white)
    assert np.mean(inside == 0) == pytest.approx(0.005, abs=2e-3)
    assert np.abs(done.image.astype(int) - dimmer.image).max() <= white / 200


@pytest.mark.parametrize("bits", [8, 16])
def test_intensity_keeps_the_structure_of_a_bright_lesion_and_the_contrast_beside_a_speck(bits: int) -> None:
    image = np.zeros((400, 300), np.uint16)
    cv2.ellipse(image, (0, 200), (140, 160), 0, -90, 90, 20000, -1)
    tissue = image > 0
    image[190:200, 60:70] = 30000 + 100 * np.arange(100).reshape(10, 10)  # a lesion, 0.3 % of the breast
    image[240:242, 60:62] = 65535
    step = {"intensity": Intensity(bits=bits)}  # type: ignore[arg-type]
    done, white = apply_all(Mammogram(image), step).image, 2**bits - 1
    lesion = done[190:200, 60:70].ravel()
    assert (np.diff(lesion.astype(int)) >= 0).all()
    assert len(np.unique(lesion)) > 40
    assert (lesion < white).all()
    assert np.median(lesion) - np.median(done[tissue]) > 0.2 * white, "the speck takes little of the range"


def test_intensity_maximum_and_none_keep_differences_between_images(film: Mammogram) -> None:
    dim = replace(film, image=film.image // 4)
    by_maximum = apply_all(dim, {"intensity": Intensity(stretch="maximum")}).image
    assert by_maximum.max() == 255
    assert np.abs(by_maximum - dim.image / dim.image.max() * 255).max() <= 0.5
    untouched = apply_all(dim, {"intensity": Intensity(stretch="none")}).image
    assert np.abs(untouched - dim.image / 257).max() <= 0.5


def test_intensity_turns_a_breast_of_one_grey_value_black(film: Mammogram) -> None:
    flat = replace(film, image=np.full(film.image.shape, 300, np.uint16))
    assert not apply_all(flat, {"intensity": Intensity()}).image.any()


def test_steps_run_in_the_order_of_the_chain(film: Mammogram) -> None:
    small_first = apply_all(film, {"resize": Resize(height=64, width=64), "crop_breast": CropBreast()})
    assert list(small_first.record) == ["resize", "crop_breast"]
    assert small_first.image.shape != (64, 64)


@pytest.mark.parametrize("size", [(200, 200), (300, 90), (90, 300)])
def test_geometry_leads_from_each_pixel_back_to_the_mammogram(size: tuple[int, int]) -> None:
    """After every step that moves pixels, the brightest point is found at its place on the mammogram."""
    image = draw_phantom("RIGHT").image // 2
    y, x = 180, image.shape[1] - 60
    image[y - 2 : y + 3, x - 2 : x + 3] = 65535
    moving = {name: STEPS[name]() for name in ("border", "crop_breast", "orient")}
    steps = moving | {"resize": Resize(height=size[0], width=size[1])}
    done = apply_all(Mammogram(image), steps)
    seen_y, seen_x = np.argwhere(done.image == done.image.max()).mean(axis=0) + 0.5
    at: Geometry = done.geometry
    assert at.is_mirrored
    assert at.top + seen_y * at.down == pytest.approx(y + 0.5, abs=0.6 * at.down)
    assert at.left + seen_x * at.right == pytest.approx(x + 0.5, abs=0.6 * abs(at.right))
