"""FROC: marks, lesions found and false alarms, by hand and against a slow, compute_plainly curve."""

import math

import numpy as np
import pytest

from tfm.metrics.froc import MAX_MARKS, FrocCurve, find_marks

SIDE = 100


def make_heat(*spots: tuple[int, int, float]) -> np.ndarray:
    """Make a map that is zero except at some pixels."""
    made = np.zeros((SIDE, SIDE))
    for row, column, height in spots:
        made[row, column] = height
    return made


def make_lesions(*corners: tuple[int, int], size: int = 4) -> np.ndarray:
    made = np.zeros((SIDE, SIDE), bool)
    for row, column in corners:
        made[row : row + size, column : column + size] = True
    return made


def test_mark_finds_only_the_lesion_it_is_in_or_very_near() -> None:
    found, count = find_marks(make_heat((21, 21, 0.9), (59, 60, 0.7), (80, 10, 0.8)), make_lesions((20, 20), (60, 60)))
    assert count == 2
    first, second = (next(lesion for height, lesion in found if height == pytest.approx(h)) for h in (0.9, 0.7))
    assert {first, second} == {1, 2}
    assert [height for height, lesion in found if not lesion] == [pytest.approx(0.8)]


def test_peak_near_a_higher_one_is_no_mark_and_a_flat_map_has_none() -> None:
    assert len(find_marks(make_heat((50, 50, 0.9), (52, 52, 0.8), (70, 70, 0.1)), make_lesions())[0]) == 2
    assert find_marks(make_heat(), make_lesions((1, 1))) == ([], 1)
    assert len(find_marks(np.random.default_rng(0).random((SIDE, SIDE)), make_lesions())[0]) == MAX_MARKS


def make_hill(row: float, column: float, width: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))


@pytest.mark.parametrize("width", [3, 10, 40])
def test_hill_of_any_width_is_one_mark(width) -> None:
    assert find_marks(make_hill(50, 40, width), make_lesions((48, 38))) == ([(pytest.approx(1), 1)], 1)
    smooth = [find_marks(height * make_hill(50, 40, width), make_lesions((48, 38))) for height in (0.3, 0.5, 0.9)]
    assert FrocCurve.collect(smooth).compute_sensitivity(0) == 1


def test_plateau_is_one_mark_inside_it() -> None:
    disc = (make_hill(50, 40, 1) > make_hill(50, 60, 1)[50, 40]).astype(float)  # saturated, 20 pixels to each side
    assert find_marks(disc, make_lesions((48, 38))) == ([(1, 1)], 1)
    ring = disc.copy()
    ring[40:61, 30:51] = 0
    (mark,) = find_marks(ring, ring > 0)[0]
    assert mark == (1, 1), "the centre of a ring is not in the ring"


def test_plateau_on_a_slope_is_no_mark() -> None:
    slope = np.tile(np.linspace(1, 0.5, SIDE), (SIDE, 1))
    slope[20:50, 40:70] = slope[20, 40]
    assert [height for height, _ in find_marks(slope, make_lesions())[0]] == [pytest.approx(1)]
    slope[20:50, 40:70] += 0.01
    assert len(find_marks(slope, make_lesions())[0]) == 2


def test_sensitivity_rises_with_the_allowed_false_alarms() -> None:
    marked = [
        ([(0.9, 1), (0.8, 0), (0.7, 1)], 1),  # found, a false alarm, found again
        ([(0.6, 0), (0.5, 1)], 2),
    ]
    curve = FrocCurve.collect(marked)
    assert [curve.compute_sensitivity(alarms) for alarms in (0, 0.5, 1)] == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert curve.compute_sensitivity(1, images=np.array([0, 0])) == 1
    assert FrocCurve.collect([([], 2)]).compute_sensitivity(2) == 0
    assert math.isnan(FrocCurve.collect([([(0.5, 0)], 0)]).compute_sensitivity(2))


def test_curve_equals_a_plain_loop_over_thresholds() -> None:
    generator = np.random.default_rng(3)
    marked = []
    for _ in range(30):
        count = int(generator.integers(0, 4))
        heights = sorted(generator.random(6).round(1).tolist(), reverse=True)
        found = [(height, int(generator.integers(0, count + 1))) for height in heights]
        marked.append((found, count))
    taken = generator.integers(0, 30, size=30)

    def compute_plainly(alarms: float) -> float:
        best = 0.0
        for threshold in np.arange(0, 1.05, 0.05):
            kept = [({lesion for h, lesion in marked[i][0] if h >= threshold} - {0}) for i in taken]
            false = sum(h >= threshold and not lesion for i in taken for h, lesion in marked[i][0])
            if false <= alarms * len(taken):
                best = max(best, sum(map(len, kept)) / sum(marked[i][1] for i in taken))
        return best

    curve = FrocCurve.collect(marked)
    assert [curve.compute_sensitivity(a, taken) for a in (0.5, 1, 2)] == pytest.approx(
        [compute_plainly(a) for a in (0.5, 1, 2)]
    )
