"""Trained runs that differ only in fold and seed, as one model.

On the test images, each run gives one AUC, and the interval of their mean covers the choice of patients and of runs.
Over several folds, each training image is also predicted by the run that did not learn from it: these out-of-fold
predictions are pooled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tfm.analysis.evaluation import Evaluation, evaluate
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.analysis.units import PLURALS
from tfm.core.errors import DataError
from tfm.data.dataset.split import FOLDS, describe_fold
from tfm.metrics.intervals import Estimate, Interval, compute_auc_interval, estimate_auc


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of validation images, each by the runs whose validation fold it is in."""

    protocol: Protocol
    labels: np.ndarray  # (units,)
    probs: np.ndarray  # (units, seeds)
    estimate: Estimate  # the AUC of all folds pooled, for each seed

    @property
    def caption(self) -> str:
        return self.protocol.describe_with_dataset(
            f"{self.protocol.sample}: each is predicted by the run whose validation fold it is in, and the "
            f"probabilities of all folds are pooled{self.protocol.unit_rule}. The epoch was chosen on these images, so "
            "the AUC is somewhat too high. 95 % intervals over patients and seeds"
        )


@dataclass(frozen=True)
class RepeatedModel:
    models: list[TrainedModel]  # by fold and seed
    evaluations: list[Evaluation]  # of each
    estimate: Estimate  # the AUC of each

    @property
    def auc(self) -> Interval:
        """The interval of their mean."""
        return compute_auc_interval(self.estimate)

    @property
    def first(self) -> TrainedModel:
        return self.models[0]

    @property
    def aucs(self) -> list[float]:
        return [evaluation.auc.value for evaluation in self.evaluations]

    @property
    def spread(self) -> float:
        """The standard deviation of the AUC between runs; NaN for one run."""
        return float(np.std(self.aucs, ddof=1)) if len(self.aucs) > 1 else math.nan

    @property
    def probs(self) -> np.ndarray:  # (units,), the mean of the runs
        probs: np.ndarray = np.mean([model.predictions["prob"] for model in self.models], axis=0)
        return probs

    def average_rate(self, name: str) -> Interval:
        """Average a rate over the runs, each at its own threshold. Only the rate of a single run has an interval.

        A model without a threshold has no rates.
        """
        unknown = Interval(math.nan, math.nan, math.nan)
        rates = [evaluation.metrics.get(name, unknown) for evaluation in self.evaluations]
        if len(rates) == 1:
            return rates[0]
        return Interval(float(np.mean([rate.value for rate in rates])), math.nan, math.nan)

    @property
    def protocol(self) -> Protocol:
        """The protocol of all runs: that of their test images, with the folds they were trained on."""
        splits = sorted({model.protocol.split_hash for model in self.models})
        if len(splits) == 1:
            return self.first.protocol
        named = f"folds {', '.join(str(fold) for fold in sorted({model.fold for model in self.models}))} of {FOLDS}"
        return replace(
            self.first.protocol,
            arrangement=self.first.protocol.arrangement.replace(describe_fold(self.first.fold), named),
            split_hash=hashlib.sha256("".join(splits).encode()).hexdigest(),
        )

    def pool_folds(self) -> OutOfFold | None:
        """Pool the validation predictions of the folds. None for one fold, and for seeds with different folds."""
        by_seed: dict[int, list[TrainedModel]] = {}
        for model in self.models:
            by_seed.setdefault(model.seed, []).append(model)
        folds = [[model.fold for model in models] for models in by_seed.values()]
        if len(folds[0]) < 2 or any(each != sorted(set(folds[0])) for each in folds):
            return None
        tables = [pd.concat([model.validation for model in models]) for models in by_seed.values()]
        labels, patients = (tables[0][name].to_numpy() for name in ("label", "patient_id"))
        probs = np.stack([table["prob"] for table in tables], axis=1)
        protocol = replace(
            self.protocol,
            split="out of fold",
            images=int(tables[0]["images"].sum()),
            units=len(labels),
            malignant=int(labels.sum()),
            patients=len(set(patients)),
        )
        return OutOfFold(protocol, labels, probs, estimate_auc(labels, probs, patients))


def group_repeated_models(models: Iterable[TrainedModel]) -> list[RepeatedModel]:
    """Group runs that differ only in fold and seed. The order of `models` has no effect."""
    groups: dict[str, list[TrainedModel]] = {}
    for model in sorted(models, key=lambda model: (model.fold, model.seed, model.run)):
        others = {name: value for name, value in model.settings.items() if name not in ("fold", "seed")}
        key = json.dumps(
            [model.model, model.protocol.dataset_hash, model.protocol.unit, others], sort_keys=True, default=str
        )
        groups.setdefault(key, []).append(model)
    return [_join_models(group) for _, group in sorted(groups.items(), key=lambda item: item[1][0].run)]


def _join_models(models: list[TrainedModel]) -> RepeatedModel:
    table = models[0].predictions
    for model in models:
        _check_both_classes(model)
    probs = np.stack([model.predictions["prob"] for model in models], axis=1)
    estimate = estimate_auc(table["label"].to_numpy(), probs, table["patient_id"].to_numpy())
    return RepeatedModel(models, [evaluate(model, resample=False) for model in models], estimate)


def _check_both_classes(model: TrainedModel) -> None:
    counted = model.protocol
    if counted.malignant in (0, counted.units):
        only = "malignant" if counted.malignant else "benign"
        raise DataError(
            f"{model.run} has no AUC: all {counted.units} test {PLURALS[counted.unit]} are {only}",
            hint="leave it out, or train on a dataset whose test set has both classes",
        )
