"""What drawn masks are worth: each figure with an interval that knows the patient, and the same for two ways to draw
that have learned nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
import torch

from tfm.analysis.brightest_blob import compute_brightness, grow_blob
from tfm.core.events import Event, Progress
from tfm.metrics.classification import Interval, bootstrap_interval, compute_exact_interval
from tfm.metrics.froc import FrocCurve, Marks, find_marks
from tfm.metrics.segmentation import (
    Overlap,
    compute_area_error,
    compute_dice,
    compute_iou,
    compute_specificity,
    count_overlap,
)
from tfm.training.batches import Images
from tfm.training.lesion_maps import truths_of
from tfm.training.tasks.segmentation import Segment

FALSE_ALARM_RATES = (0.5, 1.0, 2.0)  # false alarms an image
BRIGHTEST, NOTHING = "brightest blob", "nothing"


@dataclass(frozen=True)
class MaskScores:
    """Of one map and one way to draw it, on images whose lesions are known."""

    images: int
    lesions: int
    dice: Interval
    iou: Interval
    area_error: Interval
    left_clear: Interval
    found: tuple[Interval, ...]  # the share of lesions, at ALARMS

    @property
    def figures(self) -> dict[str, Interval]:
        found = {f"found_{rate:g}": interval for rate, interval in zip(FALSE_ALARM_RATES, self.found, strict=True)}
        return {"dice": self.dice, "iou": self.iou, "area_error": self.area_error} | found | {"clear": self.left_clear}

    def values(self) -> dict[str, float | int | None]:
        """Flat and plain; None where a figure is not defined."""
        figures = self.figures.items()
        flat = {part: value for name, interval in figures for part, value in interval.flatten(name).items()}
        return flat | {"images": self.images, "lesions": self.lesions}


def score_masks(drawn: Overlap, marked: list[tuple[Marks, int]], patients: np.ndarray) -> MaskScores:
    curve, numbers = FrocCurve.collect(marked), np.arange(len(patients))

    def interval(statistic: Callable[..., float], *columns: np.ndarray) -> Interval:
        return bootstrap_interval(statistic, patients, *columns)

    def share(statistic: Callable[..., float], among: np.ndarray, *columns: np.ndarray) -> Interval:
        """`among` are the images that it is a share of, or of whose lesions."""
        found = interval(statistic, *columns)
        return compute_exact_interval(found.value, len(set(patients[among]))) if found.value in (0, 1) else found

    return MaskScores(
        images=int((drawn.true > 0).sum()),
        lesions=int(curve.lesions.sum()),
        dice=interval(compute_dice, *drawn.columns),
        iou=interval(compute_iou, *drawn.columns),
        area_error=interval(compute_area_error, *drawn.columns),
        left_clear=share(compute_specificity, drawn.true == 0, *drawn.columns),
        found=tuple(
            share(lambda at, rate=rate: curve.compute_sensitivity(rate, at), curve.lesions > 0, numbers)
            for rate in FALSE_ALARM_RATES
        ),
    )


def score_baselines(
    images: Images, task: Segment, areas: list[int]
) -> Generator[Event, None, dict[str, list[MaskScores]]]:
    """What the brightest blob, as large as `areas` says for each map, and drawing nothing would be worth."""
    patients, count = images.rows.table["patient_id"].to_numpy(), len(images.rows)
    counted: list[list[Overlap]] = [[] for _ in areas]
    marked: list[list[tuple[Marks, int]]] = [[] for _ in areas]
    for place in range(count):
        at = images.rows.positions[place]
        bright = compute_brightness(images.cache.images[at], images.cache.breast[at])
        lesions = torch.from_numpy(np.array(images.cache.lesions[at])[None, None])
        for number, truth in enumerate(truths_of(lesions, task.classes)[0].numpy()):
            counted[number].append(count_overlap(grow_blob(bright, areas[number])[None], truth[None]))
            marked[number].append(find_marks(bright, truth))
        yield Progress("the brightest blobs", place + 1, count, "images")
    drawn = [Overlap(*map(np.concatenate, zip(*(one.columns for one in each), strict=True))) for each in counted]
    brightest = [score_masks(one, found, patients) for one, found in zip(drawn, marked, strict=True)]
    return {BRIGHTEST: brightest, NOTHING: [_of_nothing(one) for one in brightest]}


def _of_nothing(other: MaskScores) -> MaskScores:
    """On the same images. Known without looking, whoever is drawn, so no figure has an interval."""

    def sure(known: Interval, value: float) -> Interval:
        return Interval(value if math.isfinite(known.value) else math.nan, math.nan, math.nan)

    return replace(
        other,
        dice=sure(other.dice, 0.0),
        iou=sure(other.iou, 0.0),
        area_error=sure(other.area_error, 1.0),
        left_clear=sure(other.left_clear, 1.0),
        found=tuple(sure(one, 0.0) for one in other.found),
    )


def compute_median_areas(tallies: np.ndarray) -> list[int]:
    """Of each map, (n, m, TALLY): the median area over the images that show its class; 1 where none does."""
    areas = [tallies[:, at, -1] for at in range(tallies.shape[1])]
    return [int(np.median(true[true > 0])) if (true > 0).any() else 1 for true in areas]
