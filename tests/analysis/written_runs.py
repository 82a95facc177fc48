"""Finished training runs in their real files, with made-up predictions: no test of a report has to train."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.training.small_dataset import make_train_run
from tfm.analysis.predictions import save_predictions
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import Dataset

EPOCHS = 4


def write_trained_run(
    workspace: Workspace, preset: str = "ResNet18_CFT", *, skill: float = 2.0, noise_seed: int = 1, **given
) -> Run:
    """Write a run whose probabilities separate the classes better with more skill."""
    run = make_train_run(workspace, preset, **given)
    dataset = Dataset.open(workspace.dataset_folder(run.read_settings()["dataset"]))
    tables = {split: _predict(dataset.select_images(split), skill, noise_seed) for split in ("val", "test")}
    result = save_predictions(run, tables, "youden")
    run.metrics_file.write_text(_write_epochs(), encoding="utf-8")
    run.save_facts(
        dataset=dataset.folder.name,
        dataset_hash=dataset.content_hash,
        split_hash=dataset.split_hash,
        protocol=dataset.protocol,
        synthetic=dataset.synthetic,
        patients_seen=sorted(set(dataset.manifest["patient_id"])),
        device_name="CPU",
        python="3.12",
        torch="2.10",
        batch_size=8,
    )
    outputs = run.describe_outputs([str(run.predictions_file(split)) for split in tables])
    result |= {"model": preset, "weights": "none: from scratch", "parameters": 372_497, "epochs": EPOCHS}
    run.update(state="done", result=result, outputs=outputs, seconds=90.0)
    return run


def _predict(images: pd.DataFrame, skill: float, noise_seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(noise_seed)
    labels = (images["label"] == "malignant").astype(int)
    of_patient = dict(zip(sorted(set(images["patient_id"])), generator.normal(size=len(images)), strict=False))
    noise = images["patient_id"].map(of_patient) + generator.normal(size=len(images))
    identity = images[["image_id", "patient_id", "side", "view"]]
    return identity.assign(label=labels, prob=1 / (1 + np.exp(-(skill * (labels - 0.5) + noise))))


def _write_epochs() -> str:
    epochs = np.arange(1, EPOCHS + 1)
    columns = {
        "epoch": epochs,
        "learning_rate": 1e-3 / epochs,
        "train_loss": 0.7 / epochs,
        "train_accuracy": 1 - 0.5 / epochs,
        "train_auc": 1 - 0.5 / epochs,
        "val_loss": 0.7 / np.sqrt(epochs),
        "val_accuracy": 1 - 0.6 / epochs,
        "val_auc": 1 - 0.6 / epochs,
    }
    return pd.DataFrame(columns).to_csv(index=False)
