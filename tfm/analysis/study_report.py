"""What a study found, as a table and as figures: how it went, which settings mattered, which values went together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from tfm.analysis.figures import save_figure
from tfm.core.events import Table
from tfm.training.tune.search import format_value
from tfm.training.tune.study import find_best

_ENDS = {TrialState.COMPLETE: ("done", "tab:blue", "o"), TrialState.PRUNED: ("pruned", "tab:orange", "x")}
_SEED = 7  # of fANOVA's trees: the same trials give the same figure


def rank_trials(trials: list[FrozenTrial], searched: list[str], most: int) -> Table:
    done = sorted(_complete(trials), key=lambda trial: (-_value(trial), trial.number))
    columns = ["trial", "val AUC", "epochs", *(name.replace("_", " ") for name in searched)]
    rows = [
        [
            str(trial.number),
            f"{_value(trial):.4f}",
            str(trial.last_step),
            *(format_value(trial.params[name]) for name in searched),
        ]
        for trial in done[:most]
    ]
    pruned, failed = (sum(one.state == state for one in trials) for state in (TrialState.PRUNED, TrialState.FAIL))
    ends = f"{len(done)} of {len(trials)} trials came to their end, {pruned} were pruned, {failed} failed"
    return Table("The best trials", columns, rows, f"{ends}; the AUC is validation's, which chose among them")


def draw_study(folder: Path, trials: list[FrozenTrial], searched: list[str], caption: str) -> list[tuple[Path, str]]:
    """Each figure that there are trials enough for, with its title."""
    drawn = []
    for name, title, draw, enough in (
        ("history", "History of the study", _history, True),
        ("importance", "How much each setting mattered", _importance, _vary(trials, searched)),
        ("parallel", "The trials in parallel coordinates", _parallel, bool(searched)),
    ):
        if enough:
            figure = Figure(figsize=(max(7, 1.5 * (len(searched) + 1)) if draw is _parallel else 7, 5))
            figure.set_layout_engine("constrained")
            draw(figure.subplots(), trials, searched)
            figure.suptitle(title, fontsize=11)
            path = folder / f"{name}.png"
            save_figure(figure, path, caption)
            drawn.append((path, title))
    return drawn


def _complete(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _vary(trials: list[FrozenTrial], searched: list[str]) -> bool:
    return len({trial.value for trial in _complete(trials)}) > 1 and bool(_varied(trials, searched))


def _varied(trials: list[FrozenTrial], searched: list[str]) -> list[str]:
    """The settings of which the finished trials have tried more than one value."""
    return [name for name in searched if len({trial.params[name] for trial in _complete(trials)}) > 1]


def _history(axes: Axes, trials: list[FrozenTrial], _searched: list[str]) -> None:
    for state, (name, colour, mark) in _ENDS.items():
        ended = [trial for trial in trials if trial.state == state and trial.value is not None]
        if ended:
            axes.plot([trial.number for trial in ended], list(map(_value, ended)), mark, color=colour, label=name)
    done = _complete(trials)
    best = np.maximum.accumulate([_value(trial) for trial in done])
    axes.step([trial.number for trial in done], best, where="post", color="grey", linewidth=1, label="best so far")
    axes.set(xlabel="trial", ylabel="AUC of validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()


def _importance(axes: Axes, trials: list[FrozenTrial], searched: list[str]) -> None:
    """fANOVA: the share of the spread between the finished trials that a setting accounts for. Of one that never varied
    nothing is known, which is not that it doesn't matter."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(_complete(trials))
    varied = _varied(trials, searched)
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=_SEED), params=varied)
    names = [*(name for name in searched if name not in varied), *reversed(shares)]
    bars = axes.barh([name.replace("_", " ") for name in names], [shares.get(name, 0) for name in names])
    axes.bar_label(bars, [f"{shares[name]:.2f}" if name in shares else "never varied" for name in names], padding=3)
    axes.set(xlim=(0, 1.1), xlabel=f"share of the spread between {len(_complete(trials))} finished trials (fANOVA)")


def _parallel(axes: Axes, trials: list[FrozenTrial], searched: list[str]) -> None:
    """A line a trial through its values, each axis from its lowest to its highest; the better, the darker."""
    ended = [trial for trial in trials if trial.state in _ENDS and trial.value is not None]
    ended.sort(key=_value)
    axis_values = {name: [trial.params[name] for trial in ended] for name in searched}
    axis_values["val AUC"] = list(map(_value, ended))
    places = np.array([_places(values) for values in axis_values.values()])
    for column, share in enumerate(places[-1]):
        axes.plot(places[:, column], color=(0.1, 0.3, 0.6, 0.15 + 0.7 * share), linewidth=1.2)
    best = find_best(trials)
    if best is not None:
        axes.plot(places[:, ended.index(best)], color="tab:red", linewidth=2, label=f"best: trial {best.number}")
        axes.legend(loc="upper left")
    for at, values in enumerate(axis_values.values()):
        _ticks(axes, at, values)
    names = [name.replace("_", "\n") for name in axis_values]
    axes.set(xticks=range(len(names)), xticklabels=names, yticks=[])
    axes.set(xlim=(-0.3, len(names) - 0.5), ylim=(-0.08, 1.2))  # room for the legend above the highest value


def _places(values: list[Any]) -> np.ndarray:
    """(n,) in 0..1: numbers by their size, on a logarithmic axis where they span decades; words by their order."""
    if _are_numbers(values):
        numbers = [float(value) for value in values]
        return _scaled(list(np.log10(numbers)) if _spans_decades(numbers) else numbers)
    words = _words(values)
    return np.array([words.index(str(value)) / max(1, len(words) - 1) for value in values])


def _ticks(axes: Axes, at: int, values: list[Any]) -> None:
    axes.axvline(at, color="grey", linewidth=0.6)
    if _are_numbers(values):
        ends = [(0.0, format_value(min(values))), (1.0, format_value(max(values)))]
    else:
        words = _words(values)
        ends = [(place / max(1, len(words) - 1), word) for place, word in enumerate(words)]
    box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for place, text in ends:
        axes.annotate(
            text, (at, place), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center", bbox=box, zorder=3
        )


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _words(values: list[Any]) -> list[str]:
    return sorted(set(map(str, values)))


def _spans_decades(numbers: list[float]) -> bool:
    return min(numbers) > 0 and max(numbers) / min(numbers) > 20


def _scaled(numbers: list[float]) -> np.ndarray:
    low, high = min(numbers), max(numbers)
    return (np.array(numbers) - low) / ((high - low) or 1.0)
