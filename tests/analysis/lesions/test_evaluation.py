"""The evaluation of a segmentation model: choices are made on validation, and intervals are over patients."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.returned import returned
from tfm.analysis.lesions.evaluation import MODEL, LesionPredictions, evaluate_lesions
from tfm.analysis.lesions.scores import BRIGHTEST
from tfm.data.cache.cache import Cache
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.metrics.froc import find_marks
from tfm.models.normalisation import Normalisation
from tfm.training.batches import Images
from tfm.training.inputs.samples import Samples
from tfm.training.lesion_probability_maps import count_at_thresholds
from tfm.training.settings import SegmentationSettings
from tfm.training.tasks.segmentation import make_segmentation

SIDE = 64
TASK = make_segmentation(SegmentationSettings(classes="lesion"), 0.0, np.ones(7), images=1)
GENERATOR = np.random.default_rng(0)


def draw_discs(*radii: int) -> np.ndarray:  # (n, SIDE, SIDE) bool
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centres = GENERATOR.integers(20, 44, size=(len(radii), 2))
    return np.stack(
        [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for (y, x), radius in zip(centres, radii, strict=True)]
    )


def make_heats(truths: np.ndarray, best: float) -> np.ndarray:
    """The threshold `best` yields the lesions but for some missing rows; 0.1 lower, everything is a lesion."""
    heats = np.where(truths, best + 0.01, best - 0.09).astype(np.float32)
    for heat in heats:
        heat[: GENERATOR.integers(0, 40)] = best - 0.09
    return heats


def predict(truths: np.ndarray, heats: np.ndarray) -> LesionPredictions:
    counts = count_at_thresholds(torch.from_numpy(heats)[:, None], torch.from_numpy(truths)[:, None]).numpy()
    marks = [find_marks(heat, truth) for heat, truth in zip(heats, truths, strict=True)]
    return LesionPredictions(heats.max((1, 2)), counts, [marks])


def make_images(truths: np.ndarray, patients: list[str]) -> Images:
    """Make images that are bright where the lesions are."""
    films = np.where(truths, 200, 70).astype(np.uint8)
    lesions = (truths * encode_mask_class("mass", "MALIGNANT")).astype(np.uint8)
    cache = Cache(Path("cache"), pd.DataFrame(), films, np.ones_like(films), lesions)
    rows = Samples(pd.DataFrame({"patient_id": patients}), np.arange(len(films)))
    return Images(cache, rows, Normalisation(0.3, 0.2), torch.device("cpu"))


def evaluate(val: LesionPredictions, truths: np.ndarray, heats: np.ndarray, patients: list[str]):
    return returned(evaluate_lesions(TASK, val, predict(truths, heats), make_images(truths, patients)))


def test_threshold_and_blob_area_come_from_validation_only():
    small, large = draw_discs(*[4] * 10), draw_discs(*[9] * 10)
    patients = [f"P{number}" for number in range(10)]
    low, high = predict(small, make_heats(small, 0.3)), predict(small, make_heats(small, 0.8))
    test = {"truths": large, "heats": make_heats(large, 0.6), "patients": patients}
    assert evaluate(low, **test).thresholds == [pytest.approx(0.25)], "the lowest of the best"
    assert evaluate(high, **test).thresholds == [pytest.approx(0.75)]
    assert evaluate(high, large, make_heats(large, 0.3), patients).thresholds == [pytest.approx(0.75)]
    blob = evaluate(low, **test).scores[BRIGHTEST][0]
    assert blob.area_error.value > 0.7, "the blob is as small as the lesions of validation"


def test_more_images_of_the_same_patients_make_no_interval_narrower():
    truths = draw_discs(*range(3, 15))
    heats = make_heats(truths, 0.6)
    patients = [f"P{number}" for number in range(12)]
    val = predict(truths, heats)
    once = evaluate(val, truths, heats, patients)
    again = evaluate(val, np.tile(truths, (4, 1, 1)), np.tile(heats, (4, 1, 1)), patients * 4)
    for predictor in (MODEL, BRIGHTEST):
        one, four = (evaluation.scores[predictor][0].dice for evaluation in (once, again))
        assert one.high - one.low > 0.1
        assert [four.value, four.low, four.high] == pytest.approx([one.value, one.low, one.high])
