"""The metrics of a model in subgroups of its images: by view, kind of lesion, density, BI-RADS assessment and subtlety.

Subgroups describe. They are small and many, so a difference between two of them can be chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.analysis.evaluation import Evaluation
from tfm.metrics.intervals import Interval, compute_auc_interval, compute_rate_interval, estimate_auc

FEWEST_PATIENTS = 10  # of a class: with fewer, an interval says little and a figure misleads
# By column of the predictions or of the dataset's manifest: the name in tables.
GROUPINGS = {
    "view": "view",
    "kind": "kind of lesion",
    "density": "breast density",
    "assessment": "BI-RADS assessment",
    "subtlety": "subtlety",
}
OF_THE_DATASET = tuple(column for column in GROUPINGS if column != "view")


@dataclass(frozen=True)
class Subgroup:
    grouping: str  # a key of GROUPINGS
    value: str
    images: int
    malignant: int
    patients: int
    metrics: dict[str, Interval]  # auc, sensitivity, specificity; NaN where the patients are too few

    @property
    def has_metrics(self) -> bool:
        """Whether a class has enough patients."""
        return any(math.isfinite(one.value) for one in self.metrics.values())

    @property
    def has_auc(self) -> bool:
        """Whether both classes have enough patients."""
        return math.isfinite(self.metrics["auc"].value)

    def list_values(self) -> dict[str, object]:
        counts = {"images": self.images, "malignant": self.malignant, "patients": self.patients}
        metrics = {part: value for name, one in self.metrics.items() for part, value in one.flatten(name).items()}
        return {"grouping": self.grouping, "value": self.value, **counts, **metrics}


def evaluate_subgroups(evaluation: Evaluation, manifest: pd.DataFrame | None) -> list[Subgroup]:
    """Evaluate each subgroup of the images at the threshold of validation.

    Args:
        evaluation: per image.
        manifest: of the dataset; without it, images are grouped by view only.
    """
    table = evaluation.model.select_split(evaluation.split)
    if manifest is not None:
        table = table.merge(manifest[["image_id", *OF_THE_DATASET]], on="image_id", how="left", validate="one_to_one")
    return [
        _evaluate_subgroup(evaluation.model.threshold, grouping, value, table[is_member])
        for grouping in GROUPINGS
        if grouping in table
        for value, is_member in _split_by_value(table[grouping]).items()
    ]


def _split_by_value(column: pd.Series) -> Mapping[str, pd.Series]:
    """Map each value to its rows. A column with one value or none makes no subgroups."""
    words = column.astype("string").fillna("").replace("", "unknown")
    values = sorted(set(words) - {"unknown"})
    if len(values) < 2:
        return {}
    return {value: words == value for value in [*values, *(["unknown"] if (words == "unknown").any() else [])]}


def _evaluate_subgroup(threshold: float, grouping: str, value: str, table: pd.DataFrame) -> Subgroup:
    labels, probs, patients = (table[name].to_numpy() for name in ("label", "prob", "patient_id"))
    truth, called = labels == 1, probs >= threshold
    has_malignant, has_benign = (len(set(patients[part])) >= FEWEST_PATIENTS for part in (truth, ~truth))
    unknown = Interval(math.nan, math.nan, math.nan)
    metrics = {
        "auc": compute_auc_interval(estimate_auc(labels, probs, patients)) if has_malignant and has_benign else unknown,
        "sensitivity": compute_rate_interval(called[truth], patients[truth]) if has_malignant else unknown,
        "specificity": compute_rate_interval(~called[~truth], patients[~truth]) if has_benign else unknown,
    }
    return Subgroup(grouping, value, len(table), int(np.sum(truth)), len(set(patients)), metrics)
