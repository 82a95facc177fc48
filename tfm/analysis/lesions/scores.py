"""Scores of predicted lesion masks, with patient-clustered intervals, for a model and for two baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
import torch

from tfm.analysis.brightest_blob import compute_brightness, grow_blob
from tfm.analysis.format_intervals import flatten_intervals
from tfm.core.events import Event, Progress
from tfm.metrics.bootstrap import bootstrap_interval
from tfm.metrics.froc import FrocCurve, Marks, find_marks
from tfm.metrics.intervals import Interval, compute_exact_interval, compute_rate_interval
from tfm.metrics.segmentation import Overlap, compute_area_error, compute_dice, compute_iou, count_overlap
from tfm.training.batches import Images
from tfm.training.lesion_probability_maps import make_truth_maps
from tfm.training.tasks.segmentation import Segmentation

FALSE_ALARM_RATES = (0.5, 1.0, 2.0)  # per image
BRIGHTEST, NOTHING = "brightest blob", "nothing"


@dataclass(frozen=True)
class MaskScores:
    """The scores of one map, on images whose lesions are known."""

    images: int  # with a lesion
    lesions: int
    dice: Interval
    iou: Interval
    area_error: Interval
    specificity: Interval
    sensitivities: tuple[Interval, ...]  # share of lesions found, at FALSE_ALARM_RATES

    @property
    def intervals(self) -> dict[str, Interval]:
        """By the names in lesions.json."""
        found = zip(FALSE_ALARM_RATES, self.sensitivities, strict=True)
        return {
            "dice": self.dice,
            "iou": self.iou,
            "area_error": self.area_error,
            **{f"found_{rate:g}": interval for rate, interval in found},
            "clear": self.specificity,
        }

    def flatten(self) -> dict[str, float | int | None]:
        return flatten_intervals(self.intervals) | {"images": self.images, "lesions": self.lesions}


def score_masks(overlap: Overlap, marks: list[tuple[Marks, int]], patients: np.ndarray) -> MaskScores:
    curve, numbers = FrocCurve.collect(marks), np.arange(len(patients))

    def estimate(statistic: Callable[..., float], *columns: np.ndarray) -> Interval:
        return bootstrap_interval(statistic, patients, *columns)

    def estimate_sensitivity(alarms: float) -> Interval:
        result = estimate(lambda images: curve.compute_sensitivity(alarms, images), numbers)
        trials = len(set(patients[curve.lesions > 0]))
        return compute_exact_interval(result.value, trials) if result.value in (0, 1) else result

    empty = overlap.true == 0
    return MaskScores(
        images=int((overlap.true > 0).sum()),
        lesions=int(curve.lesions.sum()),
        dice=estimate(compute_dice, *overlap.columns),
        iou=estimate(compute_iou, *overlap.columns),
        area_error=estimate(compute_area_error, *overlap.columns),
        specificity=compute_rate_interval(overlap.predicted[empty] == 0, patients[empty]),
        sensitivities=tuple(map(estimate_sensitivity, FALSE_ALARM_RATES)),
    )


def score_baselines(
    images: Images, task: Segmentation, areas: list[int]
) -> Generator[Event, None, dict[str, list[MaskScores]]]:
    """Score the brightest blob, which has the given area for each map, and an empty mask."""
    patients, count = images.samples.table["patient_id"].to_numpy(), len(images.samples)
    overlaps: list[list[Overlap]] = [[] for _ in areas]
    marks: list[list[tuple[Marks, int]]] = [[] for _ in areas]
    for place in range(count):
        at = images.samples.positions[place]
        bright = compute_brightness(images.cache.images[at], images.cache.breast[at])
        lesions = torch.from_numpy(np.array(images.cache.lesions[at])[None, None])
        for number, truth in enumerate(make_truth_maps(lesions, task.classes)[0].numpy()):
            overlaps[number].append(count_overlap(grow_blob(bright, areas[number])[None], truth[None]))
            marks[number].append(find_marks(bright, truth))
        yield Progress("brightest blobs", place + 1, count, "images")
    merged = [Overlap(*map(np.concatenate, zip(*(one.columns for one in each), strict=True))) for each in overlaps]
    brightest = [score_masks(overlap, each, patients) for overlap, each in zip(merged, marks, strict=True)]
    return {BRIGHTEST: brightest, NOTHING: [_score_empty_masks(scores) for scores in brightest]}


def _score_empty_masks(other: MaskScores) -> MaskScores:
    """The scores of empty masks on the same images as `other`. They do not depend on the sample: no intervals."""

    def fix(known: Interval, value: float) -> Interval:
        return Interval(value if math.isfinite(known.value) else math.nan, math.nan, math.nan)

    return replace(
        other,
        dice=fix(other.dice, 0.0),
        iou=fix(other.iou, 0.0),
        area_error=fix(other.area_error, 1.0),
        specificity=fix(other.specificity, 1.0),
        sensitivities=tuple(fix(one, 0.0) for one in other.sensitivities),
    )


def compute_median_areas(tallies: np.ndarray) -> list[int]:
    """Compute the median lesion area of each map, (n, m, TALLY), over the images with a lesion; 1 if there is none."""
    areas = [tallies[:, number, -1] for number in range(tallies.shape[1])]
    return [int(np.median(true[true > 0])) if (true > 0).any() else 1 for true in areas]
