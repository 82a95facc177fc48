"""The outcome of a comparison in plain sentences."""

from __future__ import annotations

import math

from tfm.analysis.comparison import Ranking
from tfm.analysis.comparison_tables import format_patients
from tfm.analysis.format_intervals import format_number, format_p_value
from tfm.analysis.model_tests import ModelTest


def describe_outcome(ranking: Ranking) -> str:
    """Name the best model and those that this test cannot tell from it, and say how many patients could."""
    if not ranking.tests:
        return f"{ranking.best} is the only model that was tested this way."
    tests = list(ranking.tests_with_best.values())
    alike = [test for test in tests if not test.is_significant]
    start = f"{ranking.best} has the highest AUC."
    if not alike:
        others = f"all {len(tests)} others" if len(tests) > 1 else tests[0].worse
        return f"{start} This test tells it from {others}."
    more = f" and from {len(alike) - 1} more (marked *)" if len(alike) > 1 else ""
    return (
        f"{start} This test cannot tell it from {alike[0].worse} ({_describe_difference(alike[0])}){more}"
        f"{_describe_need(alike[0], ranking)}{_describe_limit(alike[0], ranking)}"
    )


def _describe_difference(test: ModelTest) -> str:
    interval = test.difference.interval
    if not math.isfinite(interval.low):
        return f"difference {format_number(interval.value)}, too few patients for an interval"
    ends = f"{format_number(interval.low)} to {format_number(interval.high)}".replace("-", "\N{MINUS SIGN}")
    text = f"difference {format_number(interval.value)}, {ends}"
    leaves_out_0 = interval.low > 0  # only the correction makes it uncertain
    return f"{text}, p {format_p_value(test.holm_p)} corrected for all pairs" if leaves_out_0 else text


def _describe_need(test: ModelTest, ranking: Ranking) -> str:
    needed = test.patients_needed
    if test.difference.value > 0 and needed == math.inf and ranking.is_repeated:
        return "; their runs differ too much for any number of patients: more seeds would be needed."
    if not test.patients < needed < math.inf or format_patients(needed) == "–":
        return "."
    return f"; about {format_patients(needed)} patients would be needed (this test has {test.patients})."


def _describe_limit(test: ModelTest, ranking: Ranking) -> str:
    if not math.isfinite(test.detectable):
        return ""
    best = ranking.entries[0][1].auc.value
    if test.detectable > best - 0.5:  # the other model would have to be worse than chance
        if not any(entry.auc.low > 0.5 for _, entry in ranking.entries):
            return " This test cannot tell any of these models from guessing."
        return " This test set is too small to show any difference between these models."
    return f" It can detect a difference of about {format_number(test.detectable)} (power 80 %)."
