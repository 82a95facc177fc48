"""The evaluation of a segmentation model on the test images: predictions, thresholds, scores and example cases.
The scores and baselines are in `scores`; drawing the cases is in `overlays`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tfm.analysis.format_intervals import format_interval, format_number
from tfm.analysis.lesions.overlays import Case, choose_cases
from tfm.analysis.lesions.scores import (
    FALSE_ALARM_RATES,
    NOTHING,
    MaskScores,
    compute_median_areas,
    score_baselines,
    score_masks,
)
from tfm.analysis.trained_run import Protocol
from tfm.core.events import Event
from tfm.metrics.froc import Marks, find_marks
from tfm.training.batches import Images
from tfm.training.inference import run_in_batches
from tfm.training.lesion_probability_maps import (
    COUNTS_PER_MAP,
    count_at_thresholds,
    find_best_threshold,
    get_map_names,
    get_overlap_at,
    make_maps,
    make_truth_maps,
)
from tfm.training.precision import autocast
from tfm.training.state import Training
from tfm.training.tasks.segmentation import Segmentation
from tfm.training.tiles import predict_probabilities

MODEL = "model"


@dataclass(frozen=True)
class LesionPredictions:
    """Predictions of n images and m maps. Only the scores are valid for images whose lesions are unknown."""

    scores: np.ndarray  # (n,) the highest probability of a malignant class
    tallies: np.ndarray  # (n, m, TALLY)
    marks: list[list[tuple[Marks, int]]]  # [map][image]

    def select(self, chosen: np.ndarray) -> LesionPredictions:  # (n,) bool
        marks = [[each[place] for place in np.flatnonzero(chosen)] for each in self.marks]
        return LesionPredictions(self.scores[chosen], self.tallies[chosen], marks)


def predict_lesions(
    training: Training, task: Segmentation, images: Images, name: str
) -> Generator[Event, None, LesionPredictions]:
    count = len(get_map_names(task.classes))
    marks: list[list[tuple[Marks, int]]] = [[] for _ in range(count)]

    def compute_numbers(chosen: np.ndarray) -> torch.Tensor:
        probs, truths = _predict_batch(training, task, images, chosen)
        scores = probs[:, list(task.classes.suspicious)].sum(1).amax((1, 2))
        heats = make_maps(probs)
        for image in zip(heats.cpu().numpy(), truths.cpu().numpy(), strict=True):
            for own, heat, truth in zip(marks, *image, strict=True):
                own.append(find_marks(heat, truth))
        return torch.cat([scores[:, None].cpu(), count_at_thresholds(heats, truths).flatten(1).cpu()], dim=1)

    numbers = (yield from run_in_batches(compute_numbers, images, training.batch_size, name)).numpy()
    return LesionPredictions(numbers[:, 0].astype(np.float64), numbers[:, 1:].reshape(-1, count, COUNTS_PER_MAP), marks)


def _predict_batch(
    training: Training, task: Segmentation, images: Images, chosen: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict probabilities (B, classes, H, W), and read the true maps (B, m, H, W) bool."""
    network, settings = training.evaluated_network, task.settings
    network.eval()
    with autocast(training.precision, images.device):
        probs = predict_probabilities(network, images.load(chosen), settings.tile, settings.window_overlap)
    return probs, make_truth_maps(images.load_targets(chosen, {"lesions"})["lesions"], task.classes)


@dataclass(frozen=True)
class LesionEvaluation:
    """The scores on the test images whose lesions are known, of each map and each predictor."""

    maps: tuple[str, ...]
    thresholds: list[float]  # of each map
    scores: dict[str, list[MaskScores]]  # MODEL, BRIGHTEST, NOTHING → of each map
    dice: np.ndarray  # (n,) of each image in the last map, NaN without a lesion

    @property
    def overall(self) -> MaskScores:
        """The model's scores of the last map, which holds the lesions of all classes."""
        return self.scores[MODEL][-1]

    columns = [  # noqa: RUF012
        *("lesions", "predicted by", "Dice (95 % interval)", "IoU", "area error"),
        *(f"found at {rate:g}" for rate in FALSE_ALARM_RATES),
        "specificity",
    ]

    def format_rows(self) -> list[list[str]]:
        """Format the maps that have lesions in the test images."""
        rows = []
        for number, own in enumerate(self.scores[MODEL]):
            if not own.lesions:
                continue
            title = (
                f"{self.maps[number]} ({own.lesions} in {own.images} images; threshold {self.thresholds[number]:.2f})"
            )
            for predictor, each in self.scores.items():
                # Empty masks have exact scores without intervals.
                values = [
                    format_number(interval.value) if predictor == NOTHING else format_interval(interval)
                    for interval in each[number].intervals.values()
                ]
                rows.append([title if predictor == MODEL else "", predictor, *values])
        return rows

    def list_values(self) -> dict[str, Any]:
        """List all scores for a program."""
        return {
            name: {"threshold": self.thresholds[number]}
            | {predictor: each[number].flatten() for predictor, each in self.scores.items()}
            for number, name in enumerate(self.maps)
        }


def evaluate_lesions(
    task: Segmentation, val: LesionPredictions, test: LesionPredictions, images: Images
) -> Generator[Event, None, LesionEvaluation]:
    """Score the test predictions. Thresholds and the blob's areas come from validation. `images` are the test's."""
    patients = images.samples.table["patient_id"].to_numpy()
    maps = get_map_names(task.classes)
    thresholds = [find_best_threshold(val.tallies[:, number])[0] for number in range(len(maps))]
    overlaps = [get_overlap_at(test.tallies[:, number], threshold) for number, threshold in enumerate(thresholds)]
    model = [score_masks(overlap, marks, patients) for overlap, marks in zip(overlaps, test.marks, strict=True)]
    baselines = yield from score_baselines(images, task, compute_median_areas(val.tallies))
    last = overlaps[-1]
    with np.errstate(invalid="ignore"):
        dice = np.where(last.true > 0, 2 * last.both / (last.predicted + last.true), np.nan)
    return LesionEvaluation(maps, thresholds, {MODEL: model} | baselines, dice)


def describe_protocol(protocol: Protocol) -> str:
    """Describe the protocol of the test images whose lesions are known. It has no threshold for images."""
    return protocol.describe_with_dataset(
        f"{protocol.sample} whose lesions are known; 95 % intervals over patients: BCa bootstrap, for images without "
        "a lesion Wilson (a share of exactly 0 or 1: Clopper-Pearson); the pixel threshold of each class was chosen on "
        "validation by Dice"
    )


def collect_cases(
    training: Training, task: Segmentation, images: Images, evaluation: LesionEvaluation
) -> dict[str, list[Case]]:
    """Collect the best, median and worst images that have a lesion."""
    with_lesion = np.flatnonzero(~np.isnan(evaluation.dice))

    def collect(place: int) -> Case:
        with torch.inference_mode():
            probs, truths = _predict_batch(training, task, images, np.array([place]))
        return Case(
            name=images.samples.table["image_id"][place],
            dice=float(evaluation.dice[place]),
            image=images.cache.images[images.samples.positions[place]],
            truth=truths[0, -1].cpu().numpy(),
            prediction=(make_maps(probs)[0, -1] >= evaluation.thresholds[-1]).cpu().numpy(),
        )

    groups = choose_cases(evaluation.dice[with_lesion])
    return {kind: [collect(place) for place in with_lesion[places]] for kind, places in groups.items()}
