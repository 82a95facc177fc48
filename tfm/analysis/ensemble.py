"""The average of several trained models: mean probabilities, and the patients that any member has seen."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.core.errors import DataError
from tfm.core.runs.run import Run

_SHARED_FACTS = ("dataset", "dataset_hash", "split_hash", "protocol", "synthetic")


@dataclass(frozen=True)
class Ensemble:
    models: list[TrainedModel]
    predictions: dict[str, pd.DataFrame]  # by split, val and test
    facts: dict[str, object]  # for the run's environment: the data, the patients seen, the minutes of the members
    parameters: int

    @property
    def result(self) -> dict[str, object]:
        return {
            "model": " + ".join(model.model for model in self.models),
            "weights": ", ".join(dict.fromkeys(model.weights for model in self.models)),
            "parameters": self.parameters,
        }


def build_ensemble(runs: list[Run]) -> Ensemble:
    models = [open_trained_model(run) for run in runs]
    for run, model in zip(runs, models, strict=True):
        if model.protocol != models[0].protocol:
            raise DataError(
                f"{run.id} and {runs[0].id} have different protocols: {model.protocol.caption} "
                f"(the other: {models[0].protocol.caption})",
                hint="average models of one dataset, one split and one threshold rule",
            )
    seen = set().union(*(run.read_environment()["patients_seen"] for run in runs))
    parameters, minutes = _add_up_cost(runs, models)
    facts = {name: runs[0].read_environment()[name] for name in _SHARED_FACTS}
    facts |= {"patients_seen": sorted(seen), "minutes_before": minutes}
    predictions = {split: _average_predictions(runs, split) for split in ("val", "test")}
    return Ensemble(models, predictions, facts, parameters)


def _add_up_cost(runs: list[Run], models: list[TrainedModel]) -> tuple[int, float]:
    """Add up parameters and minutes of work. A backbone that several members share counts once."""
    parameters, minutes = 0, 0.0
    backbones: dict[str, tuple[int, float]] = {}  # by the run that trained it
    for run, model in zip(runs, models, strict=True):
        backbone, backbone_parameters, before = run.id, model.parameters, model.minutes
        if "backbone" in (facts := run.read_environment()):
            backbone, backbone_parameters = facts["backbone"], facts["backbone_parameters"]
            before = facts["minutes_before"]
        parameters += model.parameters - backbone_parameters
        minutes += model.minutes - before
        backbones[backbone] = max(backbones.get(backbone, (0, 0.0)), (backbone_parameters, before))
    below, took = zip(*backbones.values(), strict=True)
    return parameters + sum(below), minutes + sum(took)


def _average_predictions(runs: list[Run], split: str) -> pd.DataFrame:
    tables = [read_predictions(run.predictions_file(split)) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not table.drop(columns="prob").equals(tables[0].drop(columns="prob")):
            raise DataError(
                f"{run.id} and {runs[0].id} did not predict the same {split} images",
                hint="average models that were trained on one dataset",
            )
    return tables[0].assign(prob=sum(table["prob"] for table in tables) / len(tables))
