"""P values corrected for the number of tests."""

from __future__ import annotations

import numpy as np


def adjust_by_holm(p_values: np.ndarray) -> np.ndarray:  # (tests,) → (tests,)
    """Correct by Holm's method, so that 5 % is the chance of any false positive. NaN is no test and stays NaN."""
    adjusted = np.full(len(p_values), np.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    weights = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * weights))
    return adjusted
