"""The differences that a test set can show, before and after a training."""

import math

import numpy as np
import pytest

from tests.metrics.clustered_images import draw_study
from tfm.metrics.differences import Difference, compare_estimates
from tfm.metrics.intervals import Estimate, estimate_auc
from tfm.metrics.power import PlannedTest, count_patients_needed, find_detectable_difference


def draw_difference(rng: np.random.Generator, patients: int, aucs: list[float], runs: int = 1) -> Difference:
    """Draw a study of two models, each with this number of runs."""
    study = draw_study(rng, patients, [auc for auc in aucs for _ in range(runs)])
    first, second = (
        estimate_auc(study.labels, study.scores[:, part], study.patients) for part in (slice(runs), slice(runs, None))
    )
    return compare_estimates(first, second)


def plan_test(patients: int, model_correlation: float = 0.6) -> PlannedTest:
    study = draw_study(np.random.default_rng(7), patients, [0.5])
    return PlannedTest(study.labels, study.patients, model_correlation, 0.5)


def test_four_times_the_patients_show_half_the_difference():
    rng = np.random.default_rng(1)
    small, large = (
        np.mean([find_detectable_difference(draw_difference(rng, patients, [0.8, 0.8])) for _ in range(15)])
        for patients in (100, 400)
    )
    assert small / large == pytest.approx(2, rel=0.15)


def test_a_difference_at_the_limit_needs_the_patients_there_are():
    """What is needed to show the smallest difference that these patients show is these patients."""
    difference = draw_difference(np.random.default_rng(2), 150, [0.85, 0.75])
    needed = count_patients_needed(difference, 150)
    reach = math.sqrt(needed / 150) * difference.value / difference.uncertainty.error
    assert reach == pytest.approx(1.96 + 0.84, rel=0.02)


def test_no_number_of_patients_shows_what_is_no_difference():
    difference = draw_difference(np.random.default_rng(2), 60, [0.8, 0.8])
    assert count_patients_needed(compare_estimates(difference.first, difference.first), 60) == math.inf


def test_more_patients_do_not_help_where_seeds_differ_too_much():
    rng = np.random.default_rng(3)
    labels, patients = np.tile([0, 1], 200), np.arange(400)
    skills = ([0.5, 2.0], [0.6, 1.8])

    def estimate(own: list[float]) -> Estimate:
        return estimate_auc(labels, labels[:, None] * own + rng.normal(size=(400, 2)), patients)

    assert count_patients_needed(compare_estimates(*map(estimate, skills)), 400) == math.inf


def test_the_error_of_a_perfect_model_is_unknown():
    labels = np.tile([0, 1], 30)
    perfect, other = (
        estimate_auc(labels, labels * 3.0 + noise, np.arange(60)) for noise in (0, np.tile([0, 0, 4], 20))
    )
    difference = compare_estimates(perfect, other)
    assert math.isnan(find_detectable_difference(difference))
    assert math.isnan(count_patients_needed(difference, 60))


def test_models_that_agree_more_need_fewer_patients():
    alike, unlike = (
        plan_test(100, correlation).assess_difference(0.8, 0.05).patients_needed for correlation in (0.9, 0.3)
    )
    assert alike < unlike / 2


def test_a_few_patients_cannot_tell_a_poor_model_from_chance():
    assert math.isnan(plan_test(20).find_detectable_difference(0.55))


@pytest.mark.long
@pytest.mark.parametrize("patients", [60, 100, 200])
@pytest.mark.parametrize("auc", [0.7, 0.8, 0.9])
def test_power_holds_in_simulated_studies(patients, auc):
    """Of studies with the detectable difference, 75 to 85 % find it: known from the scores, and planned before."""
    rng = np.random.default_rng(4)
    detectable = np.mean([find_detectable_difference(draw_difference(rng, patients, [auc, auc])) for _ in range(300)])
    found = np.mean([draw_difference(rng, patients, [auc, auc - detectable]).p_value < 0.05 for _ in range(1500)])
    planned = plan_test(patients)
    apart = planned.find_detectable_difference(auc)
    planned_power = np.mean([_is_found(planned, auc, apart, rng) for _ in range(1500)])
    power, measured = (
        planned.assess_difference(auc, 0.05).power,
        np.mean([_is_found(planned, auc, 0.05, rng) for _ in range(1500)]),
    )
    print(f"{patients} patients, AUC {auc}: {found:.3f} {planned_power:.3f} {power:.3f} {measured:.3f}")  # noqa: T201
    assert found == pytest.approx(0.8, abs=0.05)
    assert planned_power == pytest.approx(0.8, abs=0.05)
    assert measured == pytest.approx(power, abs=0.05)


def _is_found(planned: PlannedTest, auc: float, difference: float, rng: np.random.Generator) -> bool:
    scores = planned.draw_scores((auc, auc - difference), rng)
    pair = [estimate_auc(planned.labels, model, planned.patients) for model in scores.T]
    return compare_estimates(*pair).p_value < 0.05
