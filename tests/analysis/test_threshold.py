"""Printed thresholds."""

import numpy as np
import pytest

from tfm.analysis.threshold import format_threshold


@pytest.mark.parametrize(("threshold", "expected"), [(0.495588, "0.495588"), (0.5, "0.500"), (0.1 + 0.2, "0.300")])
def test_printed_threshold_calls_the_same_images_malignant(threshold, expected):
    """0.496 would call the image at 0.49559 benign."""
    probs = np.array([0.1, 0.29, threshold, 0.49559, 0.8])
    text = format_threshold(threshold, probs)
    assert text == expected
    assert np.array_equal(probs >= float(text), probs >= threshold)
