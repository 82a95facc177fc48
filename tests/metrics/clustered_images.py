"""Simulated studies: patients with one to four images each, whose errors are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm


@dataclass(frozen=True)
class Study:
    patients: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)
    scores: np.ndarray  # (n, runs)


def draw_study(
    rng: np.random.Generator, patients: int, aucs: list[float], alike: float = 0.5, malignant: float = 0.5
) -> Study:
    """Draw a study with one run for each true AUC.

    Args:
        alike: share of the variance of scores that the images of a patient have in common.
        malignant: expected share of the patients whose images are mostly malignant. Every tenth image has the other
            label.
    """
    patient_of_image = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    images = patient_of_image.size
    is_malignant = rng.random(patients) < malignant
    labels = is_malignant[patient_of_image] ^ (rng.random(images) < 0.1)

    def draw_noise(runs: int) -> np.ndarray:
        by_patient, by_image = rng.normal(size=(patients, runs)), rng.normal(size=(images, runs))
        return np.sqrt(alike) * by_patient[patient_of_image] + np.sqrt(1 - alike) * by_image

    # Two normals whose means differ by √2·Φ⁻¹(AUC). A third of the noise is a run's own.
    apart = np.sqrt(2) * norm.ppf(aucs)
    scores = apart * labels[:, None] + np.sqrt(2 / 3) * draw_noise(1) + np.sqrt(1 / 3) * draw_noise(len(aucs))
    return Study(patient_of_image, labels.astype(int), scores)
