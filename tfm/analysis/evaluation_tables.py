"""The tables of an evaluated run. How their numbers are computed is in `evaluation` and `subgroups`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tfm.analysis.calibration import find_temperature
from tfm.analysis.evaluated_run import EvaluatedRun
from tfm.analysis.evaluation import METHODS, METRICS, Evaluation
from tfm.analysis.export_table import ExportTable
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.settings import Split
from tfm.analysis.subgroups import FEWEST_PATIENTS, GROUPINGS
from tfm.analysis.threshold import describe_rule

_CHOSEN_HERE = "epoch, threshold and temperature were chosen on these images, so the metrics are too high"


def tabulate_metrics(evaluated: EvaluatedRun, split: Split, name: str) -> ExportTable:
    """Tabulate a row for each metric and a column for each unit."""
    by_unit = evaluated.evaluations[split]
    protocols = [one.protocol for one in by_unit.values()]
    text = [
        *(f"{protocol.sample}{protocol.unit_rule}" for protocol in protocols),
        *([_CHOSEN_HERE] if split == "val" else []),
        f"threshold and temperature chosen on validation ({describe_rule(protocols[0].threshold_rule)})",
        METHODS,
    ]
    return ExportTable(
        caption=f"{name}. {protocols[0].describe_with_dataset('; '.join(text))}",
        columns=["metric (95 % interval)", *(f"per {unit}" for unit in by_unit)],
        rows=[
            [words, *(format_interval(one.metrics[metric]) for one in by_unit.values())]
            for metric, words in METRICS.items()
        ],
        records=[list_values(one) for one in by_unit.values()],
    )


def tabulate_calls(evaluated: EvaluatedRun, name: str) -> ExportTable:
    """Tabulate what is called malignant and benign at the threshold of validation, for each unit of the test split."""
    rows, records = [], []
    for unit, one in evaluated.evaluations["test"].items():
        counts = one.confusion
        rows.append([unit, one.model.printed_threshold, *map(str, (counts.tp, counts.fn, counts.fp, counts.tn))])
        records.append({"unit": unit, "threshold": one.model.threshold, **asdict(counts)})
    rule = describe_rule(evaluated.model.protocol.threshold_rule)
    caption = (
        f"{name}, {evaluated.model.protocol.split}. Each threshold was chosen on validation in the same unit: {rule}."
    )
    columns = ["unit", "threshold", "true positive", "false negative", "false positive", "true negative"]
    return ExportTable(caption, columns, rows, records)


def tabulate_subgroups(evaluated: EvaluatedRun, name: str) -> ExportTable:
    rows = [
        [
            *(GROUPINGS[one.grouping], one.value, str(one.images), str(one.malignant), str(one.patients)),
            *map(format_interval, one.metrics.values()),
        ]
        for one in evaluated.subgroups
    ]
    caption = (
        f"{name}, {evaluated.model.protocol.split}, per image. A metric that needs a class with fewer than "
        f"{FEWEST_PATIENTS} patients is left out. The threshold is that of all validation images. Subgroups are many "
        "and small: a difference between two of them can be chance."
    )
    columns = ["subgroup by", "value", "images", "malignant", "patients", "AUC", "sensitivity", "specificity"]
    return ExportTable(caption, columns, rows, [one.list_values() for one in evaluated.subgroups])


def list_values(evaluation: Evaluation) -> dict[str, Any]:
    """List an evaluation for a program."""
    model, protocol = evaluation.model, evaluation.protocol
    return {
        "trained": model.run,
        "model": model.model,
        "split": evaluation.split,
        "unit": protocol.unit,
        **evaluation.flatten(),
        "threshold": model.threshold,
        "threshold_rule": protocol.threshold_rule,
        "temperature": find_temperature(model),
        "n_units": protocol.units,
        "n_images": protocol.images,
        "n_patients": protocol.patients,
        "protocol": protocol.caption,
        "synthetic": protocol.synthetic,
    }
