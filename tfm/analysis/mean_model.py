"""The mean of the compared models as one more row: would they be better together?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from tfm.analysis.evaluation import evaluate
from tfm.analysis.repeated_model import RepeatedModel
from tfm.analysis.threshold import choose_threshold
from tfm.metrics.intervals import estimate_auc

AVERAGES = "average"  # the command whose runs are means of other runs


def build_mean_model(entries: list[RepeatedModel]) -> RepeatedModel | None:
    """Average the probabilities of all runs, each model with the same weight. None if there is one run only.

    A run that is an average already is left out. The threshold is chosen on the mean of the validation predictions. It
    is unknown if these are of different images, as those of several folds.
    """
    members = [entry for entry in entries if entry.first.stage != AVERAGES]
    runs = [model for entry in members for model in entry.models]
    if len(runs) < 2:
        return None
    first = runs[0]
    probs = np.mean([entry.probs for entry in members], axis=0)
    validation = _average_validation(members)
    threshold = math.nan
    if validation is not None:
        labels, scores = (validation[name].to_numpy() for name in ("label", "prob"))
        threshold = choose_threshold(first.protocol.threshold_rule, labels, scores)
    count = f"{len(members)} models" if len(members) > 1 else f"{len(runs)} runs"
    mean = replace(
        first,
        run="",
        model=f"mean of {count}",
        threshold=threshold,
        validation=first.validation if validation is None else validation,
        predictions=first.predictions.assign(prob=probs),
        settings={},
    )
    labels, patients = (mean.predictions[name].to_numpy() for name in ("label", "patient_id"))
    evaluation = evaluate(mean, resample=False)
    if validation is None:
        evaluation = replace(evaluation, metrics={"auc": evaluation.auc})
    return RepeatedModel([mean], [evaluation], estimate_auc(labels, probs, patients))


def _average_validation(members: list[RepeatedModel]) -> pd.DataFrame | None:
    tables = [model.validation for entry in members for model in entry.models]
    if any(not table.drop(columns="prob").equals(tables[0].drop(columns="prob")) for table in tables):
        return None
    probs = [np.mean([model.validation["prob"] for model in entry.models], axis=0) for entry in members]
    return tables[0].assign(prob=np.mean(probs, axis=0))
