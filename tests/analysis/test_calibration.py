"""Temperature scaling: fitted on validation, without effect on the order of images or on the calls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from tests.analysis.models import make_model
from tfm.analysis.calibration import (
    COLDEST,
    HOTTEST,
    calibrate_split,
    find_temperature,
    fit_temperature,
    scale_probabilities,
)


def draw_images(temperature: float, images: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by this temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, images)
    return (rng.random(images) < expit(logits)).astype(int), expit(logits * temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_that_of_a_logistic_regression_without_intercept(temperature):
    labels, probs = draw_images(temperature)
    reference = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(logit(probs)[:, None], labels)
    found = fit_temperature(labels, probs)
    assert found == pytest.approx(1 / reference.coef_[0, 0], rel=1e-3)
    assert found == pytest.approx(temperature, rel=0.1)


def test_scaling_keeps_the_order_and_the_middle():
    probs = np.array([0.0, 0.1, 0.5, 0.8, 1.0])
    scaled = scale_probabilities(probs, 2.0)
    assert (np.diff(scaled) > 0).all()
    assert scaled[2] == 0.5
    assert scale_probabilities(probs, 1.0) == pytest.approx(probs, abs=1e-5)


def test_separated_and_reversed_validation_have_a_temperature_at_the_limit():
    labels = np.array([0, 0, 1, 1])
    assert fit_temperature(labels, np.array([0.4, 0.45, 0.55, 0.6])) == pytest.approx(COLDEST, rel=0.01)
    assert fit_temperature(labels, np.array([0.9, 0.8, 0.2, 0.1])) == pytest.approx(HOTTEST, rel=0.01)


def test_test_images_do_not_influence_the_temperature():
    model = make_model(3.0)
    before = find_temperature(model)
    model.predictions["label"] = 1 - model.predictions["label"]
    assert find_temperature(model) == before
    assert calibrate_split(model, "test") == pytest.approx(scale_probabilities(model.predictions["prob"], before))
