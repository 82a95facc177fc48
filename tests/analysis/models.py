"""Trained models with made-up predictions."""

import numpy as np
import pandas as pd

from tfm.analysis.trained_run import Protocol, TrainedModel

PATIENTS = 30
PROTOCOL = Protocol(
    dataset="cbis",
    arrangement="official, mass",
    dataset_hash="a" * 64,
    split_hash="b" * 64,
    synthetic=False,
    images=2 * PATIENTS,
    units=2 * PATIENTS,
    malignant=PATIENTS,
    patients=PATIENTS,
    threshold_rule="youden",
)


def make_model(
    skill: float, run: str = "2026-01-01_Net_000001", protocol=PROTOCOL, threshold=0.5, noise_seed=3, **settings
) -> TrainedModel:
    """Make a model whose probabilities separate the classes better with more skill."""
    labels = np.repeat(np.arange(PATIENTS) % 2, 2)
    noise = np.random.default_rng(noise_seed).normal(size=2 * PATIENTS)
    probs = 1 / (1 + np.exp(-(skill * (labels - 0.5) + noise)))
    patients = np.repeat([f"P_{number:05d}" for number in range(PATIENTS)], 2)
    predictions = pd.DataFrame({"patient_id": patients, "label": labels, "prob": probs, "images": 1})
    validation = predictions.assign(patient_id=[f"{patient}_{settings.get('fold', 1)}" for patient in patients])
    return TrainedModel(
        run, "train", "Net", "none: from scratch", 10, 1.5, threshold, validation, predictions, protocol, settings
    )
