"""What was done, as plain values: the methods section and the checklists are written from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfm.analysis.report.external_section import ExternalRanking
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.report.opened_dataset import OpenedDataset
from tfm.analysis.report.patient_flow import PatientFlow
from tfm.analysis.report.reported_runs import ReportedRun, ReportedRuns
from tfm.analysis.trained_run import Protocol
from tfm.imaging.settings import ChainSettings


@dataclass(frozen=True)
class ModelFacts:
    name: str
    stage: str
    weights: str
    parameters: int
    settings: dict[str, Any]  # flat; a setting that its stage lacks or that has no effect is missing
    best_epoch: int | None

    @property
    def is_trained_by_gradient(self) -> bool:
        return self.stage in ("train", "segment") and self.settings.get("trained") != "none"


@dataclass(frozen=True)
class StudyFacts:
    protocol: Protocol
    external: list[ExternalRanking]
    flow: PatientFlow | None
    dataset_settings: dict[str, Any]  # of organize; empty if the dataset is gone
    chains: dict[str, ChainSettings]  # cache → steps
    models: list[ModelFacts]
    environment: dict[str, Any]  # of the first run
    has_explanations: bool
    has_studies: bool

    @property
    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """The steps of the first cache, in order, with plain settings."""
        for chain in self.chains.values():
            return [(name, step.model_dump(mode="json")) for name, step in chain.parse_steps().items()]
        return []

    @property
    def augmentation(self) -> dict[str, Any]:
        """The settings of the first model whose images were augmented; empty if there is none."""
        augmented = (one.settings for one in self.models if one.is_trained_by_gradient and one.settings.get("augment"))
        return next(augmented, {})

    @property
    def is_repeated(self) -> bool:
        return len({model.settings["seed"] for model in self.models if "seed" in model.settings}) > 1


def collect_facts(
    reported: ReportedRuns,
    external: list[ExternalRanking],
    data: OpenedDataset | str,
    flow: PatientFlow | None,
    chains: dict[str, ChainSettings],
    *,
    has_explanations: bool,
    has_studies: bool,
) -> StudyFacts:
    return StudyFacts(
        protocol=reported.ranking.protocol,
        external=external,
        flow=flow,
        dataset_settings=data.audit.get("settings", {}) if isinstance(data, OpenedDataset) else {},
        chains=chains,
        models=[_collect_model_facts(one) for one in reported.runs],
        environment=reported.runs[0].run.read_environment(),
        has_explanations=has_explanations,
        has_studies=has_studies,
    )


def _collect_model_facts(one: ReportedRun) -> ModelFacts:
    epochs = one.evaluated.epochs
    has_epochs = "epoch" in epochs and "val_auc" in epochs
    best = int(epochs["epoch"].to_numpy()[epochs["val_auc"].to_numpy().argmax()]) if has_epochs else None
    settings = read_flat_settings(one.run)
    if "batch_size" in settings:  # "auto" is a number by now
        settings["batch_size"] = one.run.read_environment().get("batch_size", settings["batch_size"])
    return ModelFacts(
        name=one.name,
        stage=one.run.read_stage(),
        weights=one.model.weights,
        parameters=one.model.parameters,
        settings=settings,
        best_epoch=best,
    )
