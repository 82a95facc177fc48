"""Holm's correction."""

import numpy as np
import pytest

from tfm.metrics.multiple_tests import adjust_by_holm


def test_equals_the_correction_by_hand():
    assert adjust_by_holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_corrected_p_value_is_at_most_1_and_keeps_its_order():
    assert adjust_by_holm(np.array([0.6, 0.9, 0.5])) == pytest.approx([1, 1, 1])


def test_an_undefined_p_value_is_no_test():
    adjusted = adjust_by_holm(np.array([0.02, np.nan, 0.01]))
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(adjusted[1])
    assert adjust_by_holm(np.array([])).size == 0
