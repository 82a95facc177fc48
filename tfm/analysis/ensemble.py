"""The mean of what several trained models say of the same images, and whom they have seen between them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.core.errors import DataError
from tfm.core.runs.run import Run

_FACTS = ("dataset", "dataset_hash", "split_hash", "protocol", "synthetic")  # the same for all members


@dataclass(frozen=True)
class Ensemble:
    models: list[TrainedModel]
    predictions: dict[str, pd.DataFrame]  # of val and test, as predictions/*.csv hold them
    facts: dict[str, object]  # that a run remembers: what it was measured on, what its members have seen and took
    parameters: int

    @property
    def result(self) -> dict[str, object]:
        return {
            "model": " + ".join(one.model for one in self.models),
            "weights": ", ".join(dict.fromkeys(one.weights for one in self.models)),
            "parameters": self.parameters,
        }


def build_ensemble(runs: list[Run]) -> Ensemble:
    models = [open_trained_model(run) for run in runs]
    for run, model in zip(runs, models, strict=True):
        if model.protocol != models[0].protocol:
            raise DataError(
                f"{run.id} was not trained and tested as {runs[0].id} was: {model.protocol.words} "
                f"(the other: {models[0].protocol.words})",
                hint="average models of one dataset, one split and one rule for the threshold",
            )
    facts = {name: runs[0].read_environment()[name] for name in _FACTS}
    seen = set().union(*(run.read_environment()["patients_seen"] for run in runs))
    parameters, minutes = _together(runs, models)
    facts |= {"patients_seen": sorted(seen), "minutes_before": minutes}
    return Ensemble(models, {split: _mean(runs, split) for split in ("val", "test")}, facts, parameters)


def _together(runs: list[Run], models: list[TrainedModel]) -> tuple[int, float]:
    """Parameters, and minutes of work. A network on which several members stand counts once."""
    parameters, minutes = 0, 0.0
    networks: dict[str, tuple[int, float]] = {}  # by the run that trained it
    for run, model in zip(runs, models, strict=True):
        network, below, before = run.id, model.parameters, model.minutes
        if "backbone" in (known := run.read_environment()):
            network, below, before = known["backbone"], known["backbone_parameters"], known["minutes_before"]
        parameters += model.parameters - below
        minutes += model.minutes - before
        networks[network] = max(networks.get(network, (0, 0.0)), (below, before))
    whole, took = zip(*networks.values(), strict=True)
    return parameters + sum(whole), minutes + sum(took)


def _mean(runs: list[Run], split: str) -> pd.DataFrame:
    tables = [read_predictions(run.predictions_file(split)) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not table.drop(columns="prob").equals(tables[0].drop(columns="prob")):
            raise DataError(
                f"{run.id} and {runs[0].id} did not predict the same {split} images",
                hint="average models that were trained on one dataset",
            )
    return tables[0].assign(prob=sum(table["prob"] for table in tables) / len(tables))
