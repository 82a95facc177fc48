"""How a segmenter is measured: validation chooses for the test, and an interval knows whose images they are."""

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
from tfm.training.batches import Images, Normalisation
from tfm.training.inputs.samples import Rows
from tfm.training.lesion_maps import tally
from tfm.training.settings import OptimSettings, SegmentSettings
from tfm.training.tasks.segmentation import segment

SIDE = 64
TASK = segment(SegmentSettings(classes="lesion"), OptimSettings(), np.ones(7), images=1)
GENERATOR = np.random.default_rng(0)


def discs(*radii: int) -> np.ndarray:  # (n, SIDE, SIDE) bool
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centres = GENERATOR.integers(20, 44, size=(len(radii), 2))
    return np.stack(
        [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for (y, x), radius in zip(centres, radii, strict=True)]
    )


def heats(truths: np.ndarray, edge: float) -> np.ndarray:
    """Whoever draws from `edge` on draws lesions exactly, but for the part that is missed; from 0.1 below, all."""
    found = np.where(truths, edge + 0.01, edge - 0.09).astype(np.float32)
    for heat in found:
        heat[: GENERATOR.integers(0, 40)] = edge - 0.09
    return found


def said(truths: np.ndarray, maps: np.ndarray) -> LesionPredictions:
    counts = tally(torch.from_numpy(maps)[:, None], torch.from_numpy(truths)[:, None]).numpy()
    return LesionPredictions(
        maps.max((1, 2)), counts, [[find_marks(heat, truth) for heat, truth in zip(maps, truths, strict=True)]]
    )


def images(truths: np.ndarray, patients: list[str]) -> Images:
    """Bright where the lesions are."""
    films = np.where(truths, 200, 70).astype(np.uint8)
    lesions = (truths * encode_mask_class("mass", "MALIGNANT")).astype(np.uint8)
    cache = Cache(Path("cache"), pd.DataFrame(), films, np.ones_like(films), lesions)
    rows = Rows(pd.DataFrame({"patient_id": patients}), np.arange(len(films)))
    return Images(cache, rows, Normalisation(0.3, 0.2), torch.device("cpu"))


def measured(val: LesionPredictions, truths: np.ndarray, maps: np.ndarray, patients: list[str]):
    return returned(evaluate_lesions(TASK, val, said(truths, maps), images(truths, patients)))


def test_what_is_drawn_and_how_large_a_blob_is_are_chosen_on_validation_and_the_test_moves_neither():
    small, large = discs(*[4] * 10), discs(*[9] * 10)
    women = [f"P{number}" for number in range(10)]
    low, high = said(small, heats(small, 0.3)), said(small, heats(small, 0.8))
    given = {"truths": large, "maps": heats(large, 0.6), "patients": women}
    assert measured(low, **given).thresholds == [pytest.approx(0.25)], "the lowest at which nothing else is drawn"
    assert measured(high, **given).thresholds == [pytest.approx(0.75)]
    assert measured(high, large, heats(large, 0.3), women).thresholds == [pytest.approx(0.75)]
    blob = measured(low, **given).worths[BRIGHTEST][0]
    assert blob.area_error.value > 0.7, "as large as in validation, where lesions are a fifth as large"


def test_more_images_of_the_same_women_make_no_interval_narrower():
    truths = discs(*range(3, 15))
    maps = heats(truths, 0.6)
    women = [f"P{number}" for number in range(12)]
    val = said(truths, maps)
    once = measured(val, truths, maps, women)
    again = measured(val, np.tile(truths, (4, 1, 1)), np.tile(maps, (4, 1, 1)), women * 4)
    for way in (MODEL, BRIGHTEST):
        one, four = (each.worths[way][0].dice for each in (once, again))
        assert one.high - one.low > 0.1
        assert [four.value, four.low, four.high] == pytest.approx([one.value, one.low, one.high])
