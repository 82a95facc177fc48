"""The texts and tables of an external test: what differs between two datasets, and what the models lose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tfm.analysis.comparison import Ranking
from tfm.analysis.evaluated_run import EvaluatedRun
from tfm.analysis.evaluation import METRICS
from tfm.analysis.export_table import ExportTable
from tfm.analysis.external_test import Drop
from tfm.analysis.format_intervals import format_difference, format_interval
from tfm.analysis.repeated_model import group_repeated_models
from tfm.analysis.trained_run import TrainedModel
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.file_facts import FACTS, FileFacts

_COMPARED = ("auc", "sensitivity", "specificity")  # a change of the share of malignant images alone changes none
_SHOWN_VALUES = 3
DROP = (
    "Drop: own test minus external test, with a 95 % interval for different patients. Threshold and temperature are "
    "those of the run"
)


def tabulate_drops(external: EvaluatedRun, name: str) -> ExportTable:
    """Tabulate a row for each metric, in each unit that both tests have."""
    assert external.own
    own, outside = (one.evaluations["test"] for one in (external.own, external))
    units = [unit for unit in outside if unit in own]
    drops = {
        (metric, unit): Drop(own[unit].metrics[metric], outside[unit].metrics[metric])
        for metric in _COMPARED
        for unit in units
    }
    protocols = [one["image"].protocol for one in (own, outside)]
    tested = [protocol.describe_with_dataset(protocol.sample) for protocol in protocols]
    return ExportTable(
        caption=f"{name}. {DROP}. Own test: {tested[0]}. External test: {tested[1]}",
        columns=["metric (95 % interval)", "own test", protocols[1].dataset, "drop outside"],
        rows=[[f"{METRICS[metric]} per {unit}", *_format(drop)] for (metric, unit), drop in drops.items()],
        records=[
            {"trained": external.run.id, "dataset": protocols[1].dataset, "unit": unit}
            | {part: value for metric in _COMPARED for part, value in drops[metric, unit].flatten(metric).items()}
            for unit in units
        ],
    )


def _format(drop: Drop) -> list[str]:
    return [format_interval(drop.own), format_interval(drop.external), format_difference(drop.interval)]


def measure_drops(ranking: Ranking, own: Mapping[str, TrainedModel]) -> dict[str, Drop]:
    """Map each ranked model to the drop of its AUC. `own` are the runs with their own test split."""
    drops = {}
    for name, entry in ranking.entries:
        (before,) = group_repeated_models(own[model.run] for model in entry.models)
        drops[name] = Drop(before.auc, entry.auc)
    return drops


def tabulate_drops_of_models(ranking: Ranking, drops: Mapping[str, Drop]) -> ExportTable:
    return ExportTable(
        caption=f"{ranking.protocol.caption}. {DROP}",
        columns=["model", "AUC on own test", f"AUC on {ranking.protocol.dataset}", "drop outside"],
        rows=[[name, *_format(drop)] for name, drop in drops.items()],
        records=[{"model": name, **drop.flatten("auc")} for name, drop in drops.items()],
    )


def describe_drop(ranking: Ranking, drops: Mapping[str, Drop]) -> str:
    """Say what the best model loses."""
    drop = drops[ranking.best]
    return (
        f"On {ranking.protocol.dataset}, {ranking.best} has an AUC of {format_interval(drop.external)}; on its own "
        f"test {format_interval(drop.own)}: a drop of {format_difference(drop.interval)}. "
        f"{drop.describe()}"
    )


def describe_differences(datasets: tuple[Dataset, Dataset], facts: tuple[FileFacts, FileFacts]) -> str:
    """Say in a line for each what the external dataset has instead of what the models were trained on.

    Args:
        datasets: that of the training, and the external one.
        facts: of the files of each.
    """
    pairs = {words: tuple(_format_counts(one[fact]) for one in facts) for fact, words in FACTS.items()}
    shares = [(one.manifest["label"] == "malignant").mean() for one in datasets]
    counts = [len(one.manifest) for one in datasets]
    pairs["malignant"] = tuple(f"{share:.0%} of {n} images" for share, n in zip(shares, counts, strict=True))
    pairs["labels and images"] = tuple(one.protocol for one in datasets)
    own_name, name = (one.folder.name for one in datasets)
    lines = [
        f"{words}: {external}; in {own_name}: {own}" for words, (own, external) in pairs.items() if external != own
    ]
    return "\n  ".join([f"{name} differs from {own_name}, which the models were trained on:", *lines])


def _format_counts(counts: Counter[str]) -> str:
    """Format the most frequent values, each with its share; a single one without."""
    total = counts.total()
    if len(counts) < 2:
        return next(iter(counts), "unknown")
    shown = [f"{value} ({count / total:.0%})" for value, count in counts.most_common(_SHOWN_VALUES)]
    return ", ".join(shown) + (f" and {len(counts) - _SHOWN_VALUES} more" if len(counts) > _SHOWN_VALUES else "")
