"""What a segmenter says of a split's images, map by map, measured beside two ways to draw that know nothing, and the
cases worth looking at. How figures and their intervals come about stands in worth."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tfm.analysis.evaluation import format_interval, format_number
from tfm.analysis.lesions.overlays import Case
from tfm.analysis.lesions.overlays import choose_cases as chosen_cases
from tfm.analysis.lesions.scores import (
    BRIGHTEST,
    FALSE_ALARM_RATES,
    NOTHING,
    MaskScores,
    compute_median_areas,
    score_baselines,
    score_masks,
)
from tfm.analysis.trained_run import Protocol
from tfm.core.events import Event
from tfm.metrics.classification import Interval
from tfm.metrics.froc import MAX_MARKS, Marks, find_marks
from tfm.training.batches import Images
from tfm.training.inference import answers
from tfm.training.lesion_maps import TALLY, best_threshold, map_names, maps_of, overlap_at, tally, truths_of
from tfm.training.precision import computing_in
from tfm.training.state import Training
from tfm.training.tasks.segmentation import Segment
from tfm.training.tiles import probabilities

MODEL = "model"
_MARKED = 2 * MAX_MARKS + 1  # numbers: height and lesion of each mark, and how many lesions there are


@dataclass(frozen=True)
class LesionPredictions:
    """Of n images and m maps. Of an image whose lesions are not known, only the score is of use."""

    scores: np.ndarray  # (n,) the highest probability of what speaks for malignancy
    tallies: np.ndarray  # (n, m, TALLY)
    marked: list[list[tuple[Marks, int]]]  # [map][image]

    def of(self, chosen: np.ndarray) -> LesionPredictions:  # (n,) bool
        marked = [[each[place] for place in np.flatnonzero(chosen)] for each in self.marked]
        return LesionPredictions(self.scores[chosen], self.tallies[chosen], marked)


def _asked(training: Training, task: Segment, images: Images, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (B, classes, H, W), and the truth of the maps (B, m, H, W) bool."""
    network, settings = training.judged, task.settings
    network.eval()
    with computing_in(training.precision, images.device):
        probs = probabilities(network, images.batch(chosen), settings.tile, settings.window_overlap)
    return probs, truths_of(images.truth(chosen, {"lesions"})["lesions"], task.classes)


def predict_lesions(
    training: Training, task: Segment, images: Images, name: str
) -> Generator[Event, None, LesionPredictions]:
    count = len(map_names(task.classes))

    def ask(chosen: np.ndarray) -> torch.Tensor:
        probs, truths = _asked(training, task, images, chosen)
        score = probs[:, list(task.classes.suspicious)].sum(1).amax((1, 2))
        heats = maps_of(probs)
        rows = [_marked(heat, truth) for heat, truth in zip(heats.cpu().numpy(), truths.cpu().numpy(), strict=True)]
        tallies = tally(heats, truths).flatten(1).cpu()
        return torch.cat([score[:, None].cpu(), tallies, torch.tensor(np.array(rows))], dim=1)

    given = (yield from answers(ask, images, training.batch_size, name)).numpy()
    tallies = given[:, 1 : 1 + count * TALLY].reshape(-1, count, TALLY)
    flat = given[:, 1 + count * TALLY :].reshape(-1, count, _MARKED)
    return LesionPredictions(
        given[:, 0].astype(np.float64), tallies, [[_read(row) for row in flat[:, at]] for at in range(count)]
    )


def _marked(heats: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Of one image, (m, H, W) each → (m × _MARKED,), for a table that holds numbers alone."""
    rows = np.zeros((len(heats), _MARKED), np.float32)
    for row, heat, truth in zip(rows, heats, truths, strict=True):
        found, count = find_marks(heat, truth)
        row[: 2 * len(found)] = np.array(found, dtype=np.float32).reshape(-1)
        row[-1] = count
    return rows.reshape(-1)


def _read(row: np.ndarray) -> tuple[Marks, int]:
    pairs = row[:-1].reshape(-1, 2)
    return [(float(height), int(lesion)) for height, lesion in pairs if height > 0], int(row[-1])


@dataclass(frozen=True)
class LesionEvaluation:
    """On the test images whose lesions are known: of each map, what each way to draw it is worth."""

    names: tuple[str, ...]  # of the maps
    thresholds: list[float]  # of each map
    worths: dict[str, list[MaskScores]]  # way → of each map
    dice: np.ndarray  # (n,) of each image in the last map, NaN where it shows no lesion

    @property
    def last(self) -> MaskScores:
        """The model's, of any lesion."""
        return self.worths[MODEL][-1]

    columns = [  # noqa: RUF012
        *("lesions", "drawn by", "Dice (95 % interval)", "IoU", "area error"),
        *(f"found at {rate:g}" for rate in FALSE_ALARM_RATES),
        "left clear",
    ]

    def rows(self) -> list[list[str]]:
        """Of each map; of what no test image shows there is little to say."""
        shown = [at for at, worth in enumerate(self.worths[MODEL]) if worth.lesions]
        return [
            [self._shown(at) if way == MODEL else "", way, *map(_words[way], each[at].figures.values())]
            for at in shown
            for way, each in self.worths.items()
        ]

    def _shown(self, at: int) -> str:
        worth = self.worths[MODEL][at]
        return f"{self.names[at]} ({worth.lesions} in {worth.images} images; drawn from {self.thresholds[at]:.2f} on)"

    def values(self) -> dict[str, Any]:
        """For a program."""
        return {
            name: {"threshold": self.thresholds[at]} | {way: each[at].values() for way, each in self.worths.items()}
            for at, name in enumerate(self.names)
        }


def _plain(interval: Interval) -> str:
    """What draws nothing is known to the last digit, and has no interval."""
    return format_number(interval.value)


_words = {MODEL: format_interval, BRIGHTEST: format_interval, NOTHING: _plain}


def evaluate_lesions(
    task: Segment, val: LesionPredictions, test: LesionPredictions, images: Images
) -> Generator[Event, None, LesionEvaluation]:
    """Validation says from which probability on a pixel is drawn and how large lesions are. `images` are the test's."""
    patients = images.rows.table["patient_id"].to_numpy()
    names = map_names(task.classes)
    thresholds = [best_threshold(val.tallies[:, at])[0] for at in range(len(names))]
    drawn = [overlap_at(test.tallies[:, at], threshold) for at, threshold in enumerate(thresholds)]
    model = [score_masks(one, marked, patients) for one, marked in zip(drawn, test.marked, strict=True)]
    beside = yield from score_baselines(images, task, compute_median_areas(val.tallies))
    last = drawn[-1]
    with np.errstate(invalid="ignore"):
        dices = np.where(last.true > 0, 2 * last.both / (last.predicted + last.true), np.nan)
    return LesionEvaluation(names, thresholds, {MODEL: model} | beside, dices)


def describe_protocol(protocol: Protocol) -> str:
    """Of the test images whose lesions are known: no threshold for images is met here."""
    return protocol.of_data(
        f"{protocol.whom}, those whose lesions are known; 95 % intervals by bootstrap over women (of a share of "
        "lesions or of images that is exactly 0 or 1: Clopper-Pearson over women); from which probability on a pixel "
        "is drawn was chosen on validation by Dice, for each class"
    )


def collect_cases(
    training: Training, task: Segment, images: Images, measured: LesionEvaluation
) -> dict[str, list[Case]]:
    """The best, the middle and the worst of the images that show a lesion."""
    shown = np.flatnonzero(~np.isnan(measured.dice))
    groups = {name: shown[places] for name, places in chosen_cases(measured.dice[shown]).items()}
    return {name: [_case(training, task, images, measured, place) for place in group] for name, group in groups.items()}


def _case(training: Training, task: Segment, images: Images, measured: LesionEvaluation, place: int) -> Case:
    with torch.inference_mode():
        probs, truths = _asked(training, task, images, np.array([place]))
    return Case(
        name=images.rows.table["image_id"][place],
        dice=float(measured.dice[place]),
        image=images.cache.images[images.rows.positions[place]],
        truth=truths[0, -1].cpu().numpy(),
        drawn=(maps_of(probs)[0, -1] >= measured.thresholds[-1]).cpu().numpy(),
    )
