"""FROC: marks, lesions found and false alarms, by hand and against a slow and plain curve."""

import math

import numpy as np
import pytest

from tfm.metrics.froc import MAX_MARKS, FrocCurve, find_marks

SIDE = 100


def heat(*spots: tuple[int, int, float]) -> np.ndarray:
    """A map that is zero but for some pixels."""
    made = np.zeros((SIDE, SIDE))
    for row, column, height in spots:
        made[row, column] = height
    return made


def lesions(*corners: tuple[int, int], size: int = 4) -> np.ndarray:
    made = np.zeros((SIDE, SIDE), bool)
    for row, column in corners:
        made[row : row + size, column : column + size] = True
    return made


def test_a_mark_finds_the_lesion_it_lies_in_or_nearly_and_no_other() -> None:
    found, count = find_marks(heat((21, 21, 0.9), (59, 60, 0.7), (80, 10, 0.8)), lesions((20, 20), (60, 60)))
    assert count == 2
    first, second = (next(lesion for height, lesion in found if height == pytest.approx(h)) for h in (0.9, 0.7))
    assert {first, second} == {1, 2}
    assert [height for height, lesion in found if not lesion] == [pytest.approx(0.8)]


def test_what_lies_beside_a_higher_peak_is_part_of_it_and_a_flat_map_has_no_marks() -> None:
    assert len(find_marks(heat((50, 50, 0.9), (52, 52, 0.8), (70, 70, 0.1)), lesions())[0]) == 2
    assert find_marks(heat(), lesions((1, 1))) == ([], 1)
    assert len(find_marks(np.random.default_rng(0).random((SIDE, SIDE)), lesions())[0]) == MAX_MARKS


def hill(row: float, column: float, width: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))


@pytest.mark.parametrize("width", [3, 10, 40])
def test_one_hill_is_one_mark_however_wide_it_is(width) -> None:
    assert find_marks(hill(50, 40, width), lesions((48, 38))) == ([(pytest.approx(1), 1)], 1)
    smooth = [find_marks(height * hill(50, 40, width), lesions((48, 38))) for height in (0.3, 0.5, 0.9)]
    assert FrocCurve.of(smooth).sensitivity(0) == 1


def test_a_plateau_is_one_mark_in_its_middle_and_in_it() -> None:
    disc = (hill(50, 40, 1) > hill(50, 60, 1)[50, 40]).astype(float)  # saturated, 20 pixels to each side
    assert find_marks(disc, lesions((48, 38))) == ([(1, 1)], 1)
    ring = disc.copy()
    ring[40:61, 30:51] = 0
    (mark,) = find_marks(ring, ring > 0)[0]
    assert mark == (1, 1), "the middle of a ring is not in it"


def test_a_shelf_on_a_slope_is_no_peak() -> None:
    slope = np.tile(np.linspace(1, 0.5, SIDE), (SIDE, 1))
    slope[20:50, 40:70] = slope[20, 40]
    assert [height for height, _ in find_marks(slope, lesions())[0]] == [pytest.approx(1)]
    slope[20:50, 40:70] += 0.01
    assert len(find_marks(slope, lesions())[0]) == 2


def test_sensitivity_rises_with_the_false_alarms_that_are_allowed() -> None:
    of_images = [
        ([(0.9, 1), (0.8, 0), (0.7, 1)], 1),  # found, a false alarm, found again
        ([(0.6, 0), (0.5, 1)], 2),
    ]
    curve = FrocCurve.of(of_images)
    assert [curve.sensitivity(alarms) for alarms in (0, 0.5, 1)] == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert curve.sensitivity(1, images=np.array([0, 0])) == 1
    assert FrocCurve.of([([], 2)]).sensitivity(2) == 0
    assert math.isnan(FrocCurve.of([([(0.5, 0)], 0)]).sensitivity(2))


def test_any_marks_agree_with_a_plain_walk_over_all_thresholds() -> None:
    generator = np.random.default_rng(3)
    of_images = []
    for _ in range(30):
        count = int(generator.integers(0, 4))
        heights = sorted(generator.random(6).round(1).tolist(), reverse=True)
        found = [(height, int(generator.integers(0, count + 1))) for height in heights]
        of_images.append((found, count))
    taken = generator.integers(0, 30, size=30)

    def plain(alarms: float) -> float:
        best = 0.0
        for threshold in np.arange(0, 1.05, 0.05):
            kept = [({lesion for h, lesion in of_images[i][0] if h >= threshold} - {0}) for i in taken]
            false = sum(h >= threshold and not lesion for i in taken for h, lesion in of_images[i][0])
            if false <= alarms * len(taken):
                best = max(best, sum(map(len, kept)) / sum(of_images[i][1] for i in taken))
        return best

    curve = FrocCurve.of(of_images)
    assert [curve.sensitivity(a, taken) for a in (0.5, 1, 2)] == pytest.approx([plain(a) for a in (0.5, 1, 2)])
