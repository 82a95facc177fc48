"""A trained run, evaluated in each unit on validation and test, with what had to be left out."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import get_args

import pandas as pd

from tfm.analysis.evaluation import Evaluation, evaluate
from tfm.analysis.external_test import ExternalTest
from tfm.analysis.settings import Split, Unit
from tfm.analysis.subgroups import FEWEST_PATIENTS, OF_THE_DATASET, Subgroup, evaluate_subgroups
from tfm.analysis.trained_run import SPLIT_NAMES, TrainedModel, open_trained_model
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.data.dataset.dataset import Dataset


@dataclass(frozen=True)
class EvaluatedRun:
    run: Run
    evaluations: dict[Split, dict[Unit, Evaluation]]  # test first; always per image; of an external test no other split
    subgroups: list[Subgroup]  # of the test images
    epochs: pd.DataFrame  # metrics.csv; empty for a run without epochs
    left_out: list[str]  # what, and why
    own: EvaluatedRun | None = None  # of an external test: the same run with its own test split

    @property
    def model(self) -> TrainedModel:
        """The model, counted in images."""
        return self.evaluations["test"]["image"].model


def evaluate_run(run: Run, external: ExternalTest | None = None) -> EvaluatedRun:
    """Evaluate the stored predictions of a run. A unit or a subgroup that is impossible is left out.

    Args:
        external: takes the place of its own test split.
    """
    open_model = external.open_model if external else open_trained_model
    models: dict[Unit, TrainedModel] = {"image": open_model(run)}
    left_out = []
    for unit in get_args(Unit)[1:]:
        try:
            models[unit] = open_model(run, unit)
        except DataError as error:
            left_out.append(f"metrics per {unit}: {error.message}")
    splits: tuple[Split, ...] = ("test",) if external else ("test", "val")
    evaluations = {split: {unit: evaluate(model, split) for unit, model in models.items()} for split in splits}
    test = evaluations["test"]["image"]
    if not test.has_both_classes:
        left_out.append("AUC, ROC and precision-recall curves: the test images are all of one class")
    manifest, epochs = None, pd.DataFrame()
    if external:
        manifest = external.manifest
    else:
        manifest, missing = _open_own_manifest(run, evaluations)
        epochs = _read_epochs(run)
        left_out += [*missing, *(["learning curves: the run has no epochs"] if epochs.empty else [])]
    subgroups = evaluate_subgroups(test, manifest)
    if subgroups and not any(one.has_metrics for one in subgroups):
        left_out.append(f"metrics of subgroups: no class of a subgroup has {FEWEST_PATIENTS} patients")
    elif subgroups and not any(one.has_auc for one in subgroups):
        left_out.append(f"AUC of subgroups: no subgroup has {FEWEST_PATIENTS} patients of each class")
    return EvaluatedRun(run, evaluations, subgroups, epochs, left_out, evaluate_run(run) if external else None)


def _open_own_manifest(
    run: Run, evaluations: dict[Split, dict[Unit, Evaluation]]
) -> tuple[pd.DataFrame | None, list[str]]:
    """Open the manifest of the run's dataset, and say what is left out without it."""
    try:
        manifest = _open_manifest(run, evaluations["test"]["image"].model)
    except DataError as error:
        return None, [f"subgroups by {', '.join(OF_THE_DATASET)}: {error.message}"]
    _check_images(run, evaluations, manifest)
    return manifest, []


def _open_manifest(run: Run, model: TrainedModel) -> pd.DataFrame:
    """Open the manifest of the dataset that the run was trained on, with the run's fold."""
    name = model.protocol.dataset
    dataset = Dataset.open(run.workspace.dataset_folder(name))
    if dataset.content_hash != model.protocol.dataset_hash:
        raise DataError(
            f"the dataset {name} has changed since {run.id}", hint="train again on the dataset as it is now"
        )
    return dataset.select_fold(model.fold).manifest


def _check_images(run: Run, evaluations: dict[Split, dict[Unit, Evaluation]], manifest: pd.DataFrame) -> None:
    """Refuse predictions of images that are not in the split: their metrics would belong to another question."""
    for split, by_unit in evaluations.items():
        predicted = set(by_unit["image"].model.select_split(split)["image_id"])
        others = sorted(predicted - set(manifest.loc[manifest["split"] == split, "image_id"]))
        if others:
            raise DataError(
                f"{run.id} has predictions of {len(others)} images that are not in the {SPLIT_NAMES[split]} split of "
                f"its dataset: {', '.join(others[:3])}",
                hint=f"repeat the run: {run.describe_restart()}",
            )


def _read_epochs(run: Run) -> pd.DataFrame:
    with contextlib.suppress(OSError, pd.errors.EmptyDataError, pd.errors.ParserError):
        epochs = pd.read_csv(run.metrics_file)
        if any(str(name).startswith("val_") for name in epochs) and ("epoch" in epochs or "C" in epochs):
            return epochs
    return pd.DataFrame()
