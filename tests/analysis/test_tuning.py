"""What a study's figures say, and what they don't: trials are whole, and a setting that never varied has no share."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tfm.analysis import study_report

SEARCHED = ["learning_rate", "optimizer"]


def trial(number: int, learning_rate: float, value: float) -> FrozenTrial:
    made = create_trial(
        params={"learning_rate": learning_rate, "optimizer": "adamw"},
        distributions={
            "learning_rate": FloatDistribution(1e-5, 0.1),
            "optimizer": CategoricalDistribution(["adamw", "sgd"]),
        },
        value=value,
        state=TrialState.COMPLETE,
    )
    made.number = number
    return made


TRIALS = [trial(0, 0.001, 0.7), trial(1, 0.01, 0.8), trial(2, 0.003, 0.65)]


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def test_the_history_counts_whole_trials_and_names_no_end_that_none_came_to(axes):
    study_report._history(axes, TRIALS[:2], SEARCHED)
    assert all(tick == int(tick) for tick in axes.get_xticks())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["done", "best so far"]


def test_a_setting_that_never_varied_is_said_to_have_not(axes):
    study_report._importance(axes, TRIALS, SEARCHED)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert dict(zip(names, (text.get_text() for text in axes.texts), strict=True)) == {
        "optimizer": "never varied",
        "learning rate": "1.00",
    }


def test_where_no_setting_varied_there_is_no_figure_of_what_mattered(tmp_path):
    titles = [title for _, title in study_report.draw_study(tmp_path, TRIALS, ["optimizer"], "of a test")]
    assert titles == ["History of the study", "The trials in parallel coordinates"]
