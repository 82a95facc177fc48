"""Prediction tables: one row for each image, as in predictions/val.csv and predictions/test.csv.
How predictions are evaluated is in `evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfm.analysis.threshold import choose_threshold
from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.metrics.classification import compute_auc
from tfm.training.inputs.samples import Samples

COLUMNS = ["image_id", "patient_id", "side", "view", "label", "prob"]


def make_table(rows: Samples, probs: np.ndarray) -> pd.DataFrame:  # (n,), in the order of the rows
    return rows.table.assign(prob=probs)[COLUMNS]


def save_predictions(run: Run, tables: Mapping[str, pd.DataFrame], threshold_rule: str) -> dict[str, Any]:
    """Write the predictions of each split. Return what the run's result says about them, chosen on validation only."""
    for split, table in tables.items():
        write_predictions(run.predictions_file(split), table)
    labels, probs = (tables["val"][column].to_numpy() for column in ("label", "prob"))
    return {
        "run": run.id,
        "val_auc": compute_auc(labels, probs),
        "threshold": choose_threshold(threshold_rule, labels, probs),
        "threshold_rule": threshold_rule,
    }


def write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    path.parent.mkdir(exist_ok=True)
    files.write_text(path, predictions.to_csv(index=False, lineterminator="\n"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check a file of predictions."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        # float() is exact to the last bit, pandas' parser is not: the threshold equals one of the probabilities.
        table = table.assign(label=table["label"].map(int), prob=table["prob"].map(float))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, KeyError, ValueError) as error:
        raise _describe_damage(path, f" cannot be read: {error}") from error
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise _describe_damage(path, f" has no column {', '.join(missing)}")
    checks = {
        "is predicted twice": table["image_id"].duplicated(),
        "has a label other than 0 and 1": ~table["label"].isin((0, 1)),
        "has a probability outside 0 to 1": ~table["prob"].between(0, 1),
    }
    for what, is_wrong in checks.items():
        if is_wrong.any():
            raise _describe_damage(path, f": {table['image_id'][is_wrong].iloc[0]} {what}")
    return table


def _describe_damage(path: Path, what: str) -> DataError:
    return DataError(f"{path}{what}", hint="only a run writes its predictions: repeat the run of this file")
