"""Drawn mammograms: the breast, the lesions at the places of their masks, malignant different from benign."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tfm.data.phantom.download_plan import KINDS, VIEWS, Exposure, Lesion
from tfm.data.phantom.mammogram import Phantom, draw_mammogram


def exposure(patient: int, **changes: object) -> Exposure:
    plain = Exposure(7, f"P_{patient:05d}", "LEFT", "CC", 2, 384, 0.3, (Lesion(1, "mass", False),))
    return replace(plain, **changes)


def mass(malignant: bool) -> tuple[Lesion, ...]:
    return (Lesion(1, "mass", malignant),)


def ring(mask: np.ndarray, near: float, far: float) -> np.ndarray:
    """The pixels whose distance from the mask is between two shares of its own radius."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    radius = np.sqrt(mask.sum() / np.pi)
    return (distance > near * radius) & (distance < far * radius)


def spiculation(phantom: Phantom) -> float:
    """How much of the ring around a mass stands out as thin and bright: the white top-hat's 90th percentile."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    thin = cv2.morphologyEx(phantom.image, cv2.MORPH_TOPHAT, kernel)
    return float(np.percentile(thin[ring(phantom.lesion_masks[0], 0.2, 0.8) & phantom.breast_mask], 90))


def stands_out(phantom: Phantom) -> float:
    """How much brighter the lesion is than the breast around it."""
    mask = phantom.lesion_masks[0]
    around = ring(mask, 0.3, 0.8) & phantom.breast_mask
    return float(phantom.image[mask].mean()) - float(phantom.image[around].mean())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
def test_the_chest_wall_is_at_the_right_edge_for_the_right_breast_and_the_label_is_on_the_other_side(view, side):
    phantom = draw_mammogram(exposure(1, view=view, side=side))
    columns = phantom.breast_mask.sum(axis=0)
    wall, far = (0, -1) if side == "LEFT" else (-1, 0)
    assert columns[wall] > 0.5 * phantom.image.shape[0]
    assert columns[far] == 0
    letters = np.argwhere(phantom.label_mask[10:60, 10:-10])[:, 1].mean() / phantom.image.shape[1]
    assert letters > 0.5 if side == "LEFT" else letters < 0.5


def test_image_and_truth_have_one_shape_and_the_promised_types():
    phantom = draw_mammogram(exposure(2, height=256))
    assert phantom.image.dtype == np.uint16
    assert phantom.image.shape[0] == 256
    assert 0.7 < phantom.image.shape[1] / phantom.image.shape[0] < 0.85
    for mask in (phantom.breast_mask, phantom.label_mask, *phantom.lesion_masks):
        assert mask.dtype == bool
        assert mask.shape == phantom.image.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_lesions_lie_inside_the_breast_apart_from_each_other_and_off_the_label(kind, difficulty):
    for patient in range(12):
        lesions = tuple(Lesion(k, kind, k % 2 == 0) for k in (1, 2, 3))
        view = VIEWS[patient % 2]
        phantom = draw_mammogram(exposure(patient, view=view, lesions=lesions, difficulty=difficulty, height=256))
        assert not (phantom.breast_mask & phantom.label_mask).any()
        assert np.sum(phantom.lesion_masks, axis=0).max() == 1
        for mask in phantom.lesion_masks:
            assert mask.sum() > 30
            assert not (mask & ~phantom.breast_mask).any()


def test_the_breast_is_brighter_than_the_film_and_the_label_brighter_than_the_breast():
    for patient in range(4):
        phantom = draw_mammogram(exposure(patient, view=VIEWS[patient % 2]))
        film = phantom.image[~phantom.breast_mask & ~phantom.label_mask]
        breast, label = phantom.image[phantom.breast_mask], phantom.image[phantom.label_mask]
        assert np.percentile(film, 99) < np.percentile(breast, 10)
        assert np.percentile(breast, 50) < np.percentile(label, 20)


def test_a_mass_spans_about_a_tenth_of_the_height():
    for patient in range(8):
        phantom = draw_mammogram(exposure(patient, lesions=mass(patient % 2 == 1)))
        _, _, width, height = cv2.boundingRect(phantom.lesion_masks[0].astype(np.uint8))
        assert 0.07 < max(width, height) / phantom.image.shape[0] < 0.20


def test_malignant_masses_are_more_spiculated_than_benign_ones():
    benign = [spiculation(draw_mammogram(exposure(p, lesions=mass(False)))) for p in range(10)]
    malignant = [spiculation(draw_mammogram(exposure(p, lesions=mass(True)))) for p in range(10)]
    assert min(malignant) > np.median(benign)
    assert np.median(malignant) > 1.5 * np.median(benign)


def test_malignant_calcifications_are_many_and_small_benign_ones_few_and_large():
    def grains(patient: int, malignant: bool) -> tuple[int, float]:
        phantom = draw_mammogram(
            exposure(patient, density=1, difficulty=0.0, height=768, lesions=(Lesion(1, "calc", malignant),))
        )
        bright = (phantom.image > 0.5 * phantom.image[phantom.lesion_masks[0]].max()) & phantom.lesion_masks[0]
        count, _, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8))
        return count - 1, float(np.median(stats[1:, cv2.CC_STAT_AREA]))

    for patient in range(4):
        (benign_count, benign_area), (malignant_count, malignant_area) = grains(patient, False), grains(patient, True)
        assert malignant_count > 1.5 * benign_count
        assert malignant_area < 0.5 * benign_area


@pytest.mark.parametrize("measure", [stands_out, spiculation])
def test_difficulty_is_monotone(measure):
    levels = [
        np.mean([measure(draw_mammogram(exposure(p, lesions=mass(True), difficulty=d))) for p in range(6)])
        for d in (0.0, 0.5, 1.0)
    ]
    assert levels[0] > levels[1] > levels[2]


def test_denser_breasts_are_brighter():
    means = []
    for density in (1, 2, 3, 4):
        phantoms = [draw_mammogram(exposure(p, density=density, height=256)) for p in range(4)]
        means.append(np.mean([p.image[p.breast_mask].mean() for p in phantoms]))
    assert means == sorted(means)


def test_both_views_show_the_same_lesion():
    for patient in range(6):
        masks = [draw_mammogram(exposure(patient, view=view)).lesion_masks[0] for view in VIEWS]
        areas = [mask.sum() for mask in masks]
        assert abs(areas[0] - areas[1]) < 0.04 * areas[0]


def test_pixels_are_a_pure_function_of_the_exposure():
    one, again, other = draw_mammogram(exposure(3)), draw_mammogram(exposure(3)), draw_mammogram(exposure(3, seed=8))
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image[:, :200], other.image[:, :200])


def test_the_breast_is_one_piece():
    for patient in range(30):
        mask = draw_mammogram(exposure(patient, view=VIEWS[patient % 2], seed=patient, height=256)).breast_mask
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
