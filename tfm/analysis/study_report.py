"""The results of a study: a table of the best trials, and figures of its history, parameter importance and trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from tfm.analysis.figures.style import new_figure
from tfm.core.events import Table
from tfm.training.tune.run_trials import format_value
from tfm.training.tune.study import find_best

_MARKERS = {TrialState.COMPLETE: ("done", "tab:blue", "o"), TrialState.PRUNED: ("pruned", "tab:orange", "x")}
_SEED = 7  # of fANOVA's trees: the same trials give the same figure


def rank_trials(trials: list[FrozenTrial], searched: list[str], count: int) -> Table:
    """Tabulate the `count` best trials."""
    done = sorted(_select_complete(trials), key=lambda trial: (-_get_value(trial), trial.number))
    columns = ["trial", "val AUC", "epochs", *(name.replace("_", " ") for name in searched)]
    rows = [
        [
            str(trial.number),
            f"{_get_value(trial):.4f}",
            str(trial.last_step),
            *(format_value(trial.params[name]) for name in searched),
        ]
        for trial in done[:count]
    ]
    pruned, failed = (sum(one.state == state for one in trials) for state in (TrialState.PRUNED, TrialState.FAIL))
    caption = (
        f"{len(done)} of {len(trials)} trials completed, {pruned} pruned, {failed} failed; AUC of validation, which "
        "also chose the best trial"
    )
    return Table("The best trials", columns, rows, caption)


def draw_study(trials: list[FrozenTrial], searched: list[str]) -> dict[str, tuple[str, Figure]]:
    """Draw each figure for which there are enough trials. Return file name → title and figure."""
    done = _select_complete(trials)
    have_importance = len({trial.value for trial in done}) > 1 and bool(_select_varied(done, searched))
    width = max(7, 1.5 * (len(searched) + 1))
    figures = {}
    for name, title, draw, is_drawn, size in (
        ("history", "History of the study", _draw_history, True, 7),
        ("importance", "Importance of each setting", _draw_importance, have_importance, 7),
        ("parallel", "The trials in parallel coordinates", _draw_parallel, bool(searched), width),
    ):
        if is_drawn:
            figure = new_figure((size, 5))
            draw(figure.subplots(), trials, searched)
            figure.suptitle(title, fontsize=11)
            figures[name] = title, figure
    return figures


def _select_complete(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def _select_varied(done: list[FrozenTrial], searched: list[str]) -> list[str]:
    """Select the settings with more than one value among the completed trials."""
    return [name for name in searched if len({trial.params[name] for trial in done}) > 1]


def _get_value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _draw_history(axes: Axes, trials: list[FrozenTrial], _searched: list[str]) -> None:
    for state, (label, colour, marker) in _MARKERS.items():
        ended = [trial for trial in trials if trial.state == state and trial.value is not None]
        if ended:
            numbers = [trial.number for trial in ended]
            axes.plot(numbers, list(map(_get_value, ended)), marker, color=colour, label=label)
    done = _select_complete(trials)
    best = np.maximum.accumulate([_get_value(trial) for trial in done])
    axes.step([trial.number for trial in done], best, where="post", color="grey", linewidth=1, label="best so far")
    axes.set(xlabel="trial", ylabel="validation AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()


def _draw_importance(axes: Axes, trials: list[FrozenTrial], searched: list[str]) -> None:
    """Draw the fANOVA importances. A setting that never varied is labelled so: it may still matter."""
    done = _select_complete(trials)
    study = optuna.create_study(direction="maximize")
    study.add_trials(done)
    varied = _select_varied(done, searched)
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=_SEED), params=varied)
    names = [*(name for name in searched if name not in varied), *reversed(shares)]
    bars = axes.barh([name.replace("_", " ") for name in names], [shares.get(name, 0) for name in names])
    axes.bar_label(bars, [f"{shares[name]:.2f}" if name in shares else "never varied" for name in names], padding=3)
    axes.set(xlim=(0, 1.1), xlabel=f"share of the variance between {len(done)} completed trials (fANOVA)")


def _draw_parallel(axes: Axes, trials: list[FrozenTrial], searched: list[str]) -> None:
    """Draw a line through the values of each trial, darker for a higher AUC. Each axis spans its own values."""
    ended = [trial for trial in trials if trial.state in _MARKERS and trial.value is not None]
    ended.sort(key=_get_value)
    axis_values = {name: [trial.params[name] for trial in ended] for name in searched}
    axis_values["val AUC"] = list(map(_get_value, ended))
    heights = np.array([_scale_values(values) for values in axis_values.values()])
    for column, share in enumerate(heights[-1]):
        axes.plot(heights[:, column], color=(0.1, 0.3, 0.6, 0.15 + 0.7 * share), linewidth=1.2)
    best = find_best(trials)
    if best is not None:
        axes.plot(heights[:, ended.index(best)], color="tab:red", linewidth=2, label=f"best: trial {best.number}")
        axes.legend(loc="upper left")
    for at, values in enumerate(axis_values.values()):
        _draw_axis(axes, at, values)
    names = [name.replace("_", "\n") for name in axis_values]
    axes.set(xticks=range(len(names)), xticklabels=names, yticks=[])
    axes.set(xlim=(-0.3, len(names) - 0.5), ylim=(-0.08, 1.2))  # room for the legend above the highest value


def _scale_values(values: list[Any]) -> np.ndarray:
    """Scale numbers to 0..1, logarithmically if they span decades; place words in alphabetical order."""
    if _are_numbers(values):
        numbers = np.array([float(value) for value in values])
        if numbers.min() > 0 and numbers.max() / numbers.min() > 20:
            numbers = np.log10(numbers)
        return np.asarray((numbers - numbers.min()) / (np.ptp(numbers) or 1.0))
    heights = _place_words(values)
    return np.array([heights[str(value)] for value in values])


def _draw_axis(axes: Axes, at: int, values: list[Any]) -> None:
    axes.axvline(at, color="grey", linewidth=0.6)
    if _are_numbers(values):
        labels = [(format_value(min(values)), 0.0), (format_value(max(values)), 1.0)]
    else:
        labels = list(_place_words(values).items())
    box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for text, height in labels:
        axes.annotate(
            text, (at, height), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center", bbox=box, zorder=3
        )


def _place_words(values: list[Any]) -> dict[str, float]:
    words = sorted(set(map(str, values)))
    return {word: place / max(1, len(words) - 1) for place, word in enumerate(words)}


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
