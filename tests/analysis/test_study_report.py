"""The figures of a study, read back from what is drawn."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tfm.analysis.study_report import draw_study

SEARCHED = ["learning_rate", "optimizer"]


def make_trial(number: int, learning_rate: float, value: float) -> FrozenTrial:
    trial = create_trial(
        params={"learning_rate": learning_rate, "optimizer": "adamw"},
        distributions={
            "learning_rate": FloatDistribution(1e-5, 0.1),
            "optimizer": CategoricalDistribution(["adamw", "sgd"]),
        },
        value=value,
        state=TrialState.COMPLETE,
    )
    trial.number = number
    return trial


TRIALS = [make_trial(0, 0.001, 0.7), make_trial(1, 0.01, 0.8), make_trial(2, 0.003, 0.65)]


def test_history_counts_whole_trials_and_lists_only_states_that_occur():
    _, figure = draw_study(TRIALS[:2], SEARCHED)["history"]
    (history,) = figure.axes
    assert all(tick == int(tick) for tick in history.get_xticks())
    assert [text.get_text() for text in history.get_legend().get_texts()] == ["done", "best so far"]


def test_setting_that_never_varied_has_no_importance():
    _, figure = draw_study(TRIALS, SEARCHED)["importance"]
    (importance,) = figure.axes
    names = [label.get_text() for label in importance.get_yticklabels()]
    assert dict(zip(names, (text.get_text() for text in importance.texts), strict=True)) == {
        "optimizer": "never varied",
        "learning rate": "1.00",
    }


def test_importance_is_not_drawn_if_no_setting_varied():
    assert list(draw_study(TRIALS, ["optimizer"])) == ["history", "parallel"]
