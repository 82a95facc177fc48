"""Predictions of new images: verdicts for images, breasts and patients, and the remarks that belong to each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.analysis.calibration import find_temperature, scale_probabilities
from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.analysis.units import group_by_unit
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.data.new_images.image_facts import ImageFacts
from tfm.data.patient_id import find_patient_ids, list_names_in_files, normalise_patient_id
from tfm.data.seen_patients import SeenPatients

_NAMES: dict[Unit, list[str]] = {"image": ["image_id"], "breast": ["patient_id", "side"], "patient": ["patient_id"]}
NOTICE = "For research and teaching, not for diagnosis."


@dataclass(frozen=True)
class PredictedImage:
    name: str
    facts: ImageFacts
    prob: float
    remarks: tuple[str, ...]
    seen_patient: str  # "" if the model is not known to have seen the patient


@dataclass(frozen=True)
class Verdict:
    """A predicted image, breast or patient, judged at the threshold of its unit."""

    name: str
    prob: float
    calibrated: float
    threshold: float  # of the probability that is not calibrated
    images: int

    @property
    def is_malignant(self) -> bool:
        return self.prob >= self.threshold

    @property
    def called(self) -> str:
        return "malignant" if self.is_malignant else "benign"


def open_judges(run: Run) -> dict[Unit, TrainedModel]:
    """Open the run in each unit: its threshold and its validation predictions.

    A unit is left out if no threshold can be chosen for it, because each breast or patient of validation is malignant.
    """
    judges: dict[Unit, TrainedModel] = {"image": open_trained_model(run)}
    units: tuple[Unit, ...] = ("breast", "patient")
    for unit in units:
        with contextlib.suppress(DataError):
            judges[unit] = open_trained_model(run, unit)
    return judges


def judge_images(images: Sequence[PredictedImage], unit: Unit, judge: TrainedModel) -> list[Verdict]:
    """Judge each image, or each breast or patient that the files name."""
    known = [one for one in images if unit == "image" or (one.facts.patient and one.facts.side)]
    if not known:
        return []
    rows = [(one.name, one.facts.patient, one.facts.side, one.prob, 0) for one in known]
    table = group_by_unit(pd.DataFrame(rows, columns=["image_id", "patient_id", "side", "prob", "label"]), unit)
    names = table[_NAMES[unit]].agg(" ".join, axis=1)
    calibrated = scale_probabilities(table["prob"].to_numpy(), find_temperature(judge))
    return [
        Verdict(name, prob, float(scaled), judge.threshold, count)
        for name, prob, scaled, count in zip(names, table["prob"], calibrated, table["images"], strict=True)
    ]


def find_seen_patient(name: str, facts: ImageFacts, seen: SeenPatients) -> str:
    """Return the patient that the header or the path of a file names, if that patient is among `seen`."""
    known = {name for patient in seen for name in list_names_in_files(patient)}
    named = [normalise_patient_id(facts.patient), *find_patient_ids(name)]
    if facts.patient and seen.has_name_in_file(facts.patient):
        return facts.patient
    return next((patient for patient in named if patient in known), "")


def make_identities(facts: Mapping[str, ImageFacts]) -> pd.DataFrame:
    """A row for each image with patient_id, side and view. An image without all three belongs to no other image."""
    rows = [
        (name, one.patient, one.side, one.view) if one.patient and one.side and one.view else (name, name, "", "")
        for name, one in facts.items()
    ]
    return pd.DataFrame(rows, columns=["image_id", "patient_id", "side", "view"], dtype=str)


def average_members(members: Sequence[np.ndarray]) -> np.ndarray:  # (n,) of each model → (n,)
    """As `average` does with the predictions of its runs."""
    return np.asarray(sum(members) / len(members))
