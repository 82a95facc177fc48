"""The breast mask keeps lesions and skin line and excludes film frame and labels, on real and drawn mammograms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.imaging.drawn_mammograms import compute_breast_mask
from tfm.core.errors import DataError
from tfm.data.phantom.download_plan import Exposure, Lesion
from tfm.data.phantom.mammogram import Phantom, draw_mammogram

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
real_data = pytest.mark.skipif(not (DATA / "mass256").is_dir(), reason="the real mammograms are not here")


def draw_phantoms(count: int, height: int = 384) -> list[Phantom]:
    """Both sides, views and kinds, all densities and difficulties."""
    return [
        draw_mammogram(
            Exposure(
                seed=5,
                patient=f"P_{number:05d}",
                side=("LEFT", "RIGHT")[number % 2],
                view=("CC", "MLO")[number // 2 % 2],
                density=1 + number // 4 % 4,
                height=height,
                difficulty=(0.1, 0.5, 0.9)[number % 3],
                lesions=(Lesion(1, ("mass", "calc")[number // 8 % 2], malignant=number % 5 == 0),),
            )
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Phantom, np.ndarray]]:
    return [(phantom, compute_breast_mask(phantom.image)) for phantom in draw_phantoms(32)]


def test_mask_overlaps_the_drawn_breast_by_97_percent(drawn: list[tuple[Phantom, np.ndarray]]) -> None:
    overlaps = [(mask & truth.breast_mask).sum() / (mask | truth.breast_mask).sum() for truth, mask in drawn]
    assert min(overlaps) >= 0.97


def test_mask_contains_no_pixel_of_frame_or_label(drawn: list[tuple[Phantom, np.ndarray]]) -> None:
    assert sum((mask & truth.label_mask).sum() for truth, mask in drawn) == 0
    assert all(truth.label_mask.any() for truth, _ in drawn)


def test_mask_contains_every_lesion_pixel(drawn: list[tuple[Phantom, np.ndarray]]) -> None:
    assert all((lesion <= mask).all() for truth, mask in drawn for lesion in truth.lesion_masks)


def test_mask_is_the_same_at_a_quarter_of_the_resolution() -> None:
    (phantom,) = draw_phantoms(1, height=1600)
    small = cv2.resize(phantom.image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    large_mask, small_mask = compute_breast_mask(phantom.image), compute_breast_mask(small)
    shrunk = cv2.resize(large_mask.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    assert (shrunk & small_mask).sum() / (shrunk | small_mask).sum() > 0.99


def draw_straight_frame(image: np.ndarray) -> None:
    image[:8], image[-8:], image[:, -8:] = 65535, 65535, 65535


def draw_slanted_frame(image: np.ndarray) -> None:
    height, width = image.shape
    cv2.line(image, (0, 0), (width, 10), 65535, 7)
    cv2.line(image, (width - 10, 0), (width, height), 65535, 7)
    cv2.line(image, (0, height - 8), (width, height), 65535, 7)


def draw_torn_frame(image: np.ndarray) -> None:
    draw_straight_frame(image)
    image[:12, 80:], image[-12:, 80:], image[60:340, -12:] = 65535, 65535, 65535
    image[:, 140:165] = 0


@pytest.mark.parametrize("frame", [draw_straight_frame, draw_slanted_frame, draw_torn_frame])
def test_mask_excludes_a_frame_that_is_brighter_and_longer_than_the_breast(frame: Callable[[np.ndarray], None]) -> None:
    image = np.zeros((400, 300), np.uint16)
    cv2.ellipse(image, (0, 200), (60, 80), 0, -90, 90, 20000, -1)
    tissue = image > 0
    frame(image)
    mask = compute_breast_mask(image)
    assert not mask[image == 65535].any()
    assert mask[tissue].all()


def test_mask_does_not_leak_along_a_frame_that_touches_the_breast() -> None:
    image = np.zeros((400, 300), np.uint16)
    cv2.ellipse(image, (0, 60), (120, 200), 0, -90, 90, 20000, -1)
    image[:10, :200] = 65535
    near = cv2.dilate((image == 20000).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    mask = compute_breast_mask(image)
    assert mask[12:][image[12:] == 20000].all()
    assert not (mask & ~near).any()
    assert not mask[image == 65535].any()


@pytest.mark.parametrize("tilt", [-4, 0, 4])
def test_mask_excludes_bright_strips_that_lie_over_the_breast_but_no_bright_tissue(tilt: int) -> None:
    film = np.zeros((512, 400), np.uint16)
    cv2.ellipse(film, (0, 150), (260, 330), 0, -90, 90, 20000, -1)
    cv2.fillPoly(film, [np.array([(0, 0), (110, 0), (0, 260)])], 58000)  # the muscle
    cv2.circle(film, (4, 330), 8, 60000, -1)  # a lesion at the chest wall
    image, tissue = film.copy(), film > 0
    cv2.fillPoly(image, [np.array([(0, 0), (399, 0), (399, 8 + tilt), (0, 8 - tilt)])], 60000)
    cv2.fillPoly(image, [np.array([(0, 0), (0, 511), (4 + tilt, 511), (4 - tilt, 0)])], 65535)
    strip = cv2.dilate((image != film).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    mask = compute_breast_mask(image)
    assert mask[(image != film) & (film < 50000)].mean() < 0.003
    assert mask[tissue & ~strip].all()
    assert compute_breast_mask(film)[tissue].all(), "without strips, nothing is excluded"


def test_mask_includes_the_nipple_but_no_speck_beside_the_breast() -> None:
    image = np.zeros((400, 300), np.uint16)
    cv2.ellipse(image, (0, 200), (140, 160), 0, -90, 90, 20000, -1)
    image[196:204, 138:150] = 20000
    image[120:124, 142:146] = 20000
    mask = compute_breast_mask(image)
    assert mask[196:204, 138:150].all()
    assert not mask[120:124, 142:146].any()


@real_data
@pytest.mark.parametrize(("every", "count"), [(4, 308), pytest.param(1, 1231, marks=pytest.mark.long)])
def test_mask_keeps_the_lesions_of_real_training_masses_and_no_white_line_at_the_chest_wall(
    every: int, count: int
) -> None:
    kept, on_background, with_line = [], [], []
    for path in sorted((DATA / "mass256" / "images").glob("*.png"))[::every]:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        lesion = cv2.imread(str(DATA / "mass256" / "masks" / path.name), cv2.IMREAD_UNCHANGED) > 0
        mask = compute_breast_mask(image)
        kept.append((mask & lesion).sum() / lesion.sum())
        on_background.append((mask & (image == 0)).sum() / mask.sum())
        with_line.append(measure_white_line(image, mask) > 0.2)
    assert len(kept) == count
    assert np.mean(kept) >= 0.999  # a white line lies over the others
    assert np.min(kept) >= 0.85
    assert np.mean(on_background) <= 0.03
    assert np.mean(with_line) <= 0.01  # 0.14 of the images have one


def measure_white_line(image: np.ndarray, mask: np.ndarray) -> float:
    """Measure the share of rows in which the masked pixel at the chest wall, on the left, is far brighter than the next
    but one."""
    levels, rows = image / float(image.max()), np.flatnonzero(mask[:, :8].any(axis=1))
    first = mask[rows].argmax(axis=1)
    return float(np.mean(levels[rows, first] - levels[rows, first + 2] > 0.15))


@real_data
def test_mask_excludes_the_white_strip_at_the_top_of_a_real_film() -> None:
    image = cv2.imread(str(DATA / "film" / "Calc-Test_P_00202_RIGHT_MLO.png"), cv2.IMREAD_UNCHANGED)
    mask = compute_breast_mask(image)
    assert not mask[:20, 500:].any()
    assert mask[40:400, 700:890].all()  # the muscle, almost as bright as the strip


@real_data
@pytest.mark.parametrize("path", sorted((DATA / "film").glob("*.png")), ids=lambda path: path.stem)
def test_mask_of_real_mammograms_is_one_piece_without_labels(path: Path) -> None:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask = compute_breast_mask(image)
    assert 0.35 < mask.mean() < 0.7
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
    away = mask[:, -image.shape[1] // 10 :] if "LEFT" in path.name else mask[:, : image.shape[1] // 10]
    assert not away.any()  # where the letters and the far frame are


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((300, 200), np.uint16),
        np.full((300, 200), 40000, np.uint16),
        np.zeros((1, 1), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((300, 200, 3), np.uint8),
        np.zeros((300, 200), np.float32),
        np.pad(np.full((3, 3), 255, np.uint8), 150),
    ],
    ids=["black", "one grey", "one pixel", "no pixels", "colour", "float", "a speck"],
)
def test_image_without_a_breast_is_refused_with_a_hint(image: np.ndarray) -> None:
    with pytest.raises(DataError) as refused:
        compute_breast_mask(image)
    assert refused.value.hint


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (3, 300), (300, 3)])
def test_extreme_shapes_give_a_mask_of_their_shape_or_are_refused(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    image[0, 0] = 200
    try:
        mask = compute_breast_mask(image)
    except DataError:
        return
    assert mask.shape == shape
