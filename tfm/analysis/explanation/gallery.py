"""Galleries of explained images: true and false positives and negatives, some confident and some drawn at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import LABELS

TRUE_POSITIVES, FALSE_POSITIVES = "true positives", "false positives"
FALSE_NEGATIVES, TRUE_NEGATIVES = "false negatives", "true negatives"
GALLERIES = {  # (is malignant, is called malignant)
    TRUE_POSITIVES: (True, True),
    FALSE_POSITIVES: (False, True),
    FALSE_NEGATIVES: (True, False),
    TRUE_NEGATIVES: (False, False),
}
GRAD_CAM, OCCLUSION = "Grad-CAM", "occlusion"  # maps of evidence
CONFIDENT, RANDOM = "among the most confident", "drawn at random"


@dataclass(frozen=True)
class Example:
    place: int  # row of the predictions
    reason: str  # CONFIDENT or RANDOM


@dataclass(frozen=True)
class ExplainedImage:
    name: str
    patient: str
    reason: str
    label: int
    called: int
    prob: float
    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray  # (H, W) bool
    lesion: np.ndarray  # (H, W) bool
    shares: dict[str, np.ndarray]  # maps at least zero, each (H, W)
    evidence: dict[str, np.ndarray]  # maps above zero for malignant and below zero for benign, each (H, W)

    @property
    def title(self) -> str:
        verdict = f"{LABELS[self.label]}, called {LABELS[self.called]} ({self.prob:.2f}), {self.reason}"
        return f"{self.name}\n{verdict}"


def choose_galleries(predictions: pd.DataFrame, threshold: float, count: int) -> dict[str, list[Example]]:
    """Choose a quarter of `count` images, rounded up, for each gallery, or as many as exist. The first half of them are
    its most confident ones, the others are random."""
    probs, malignant = predictions["prob"].to_numpy(), predictions["label"].to_numpy() == 1
    called = probs >= threshold
    with np.errstate(invalid="ignore", divide="ignore"):  # confidence: 0 at the threshold, 1 at probability 0 or 1
        confidence = np.where(called, (probs - threshold) / (1 - threshold), 1 - probs / threshold)
    order = np.argsort(-np.nan_to_num(confidence, nan=1.0), kind="stable")
    names, each = predictions["image_id"].to_numpy(), math.ceil(count / 4)
    galleries = {}
    for gallery, (is_malignant, is_called) in GALLERIES.items():
        members = order[((malignant == is_malignant) & (called == is_called))[order]].tolist()
        first = math.ceil(each / 2)
        rest = sorted(members[first:], key=lambda place: seed_at("explained", str(names[place])))
        galleries[gallery] = [Example(place, CONFIDENT) for place in members[:first]]
        galleries[gallery] += [Example(place, RANDOM) for place in rest[: each - first]]
    return galleries


def choose_occluded(galleries: Mapping[str, Sequence[Example]], count: int) -> list[int]:
    """Choose the places of at most `count` images, one from each gallery in turn, random ones first."""
    orders = [sorted(examples, key=lambda one: one.reason != RANDOM) for examples in galleries.values()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*orders))
    return [one.place for one in turns if one][:count]
