"""Figures show what is stored, in the house's colours, with nothing clipped."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_curve

from tests.analysis.models import make_model
from tfm.analysis.evaluation import evaluate
from tfm.analysis.figures.comparison import MOST_BARS, draw_comparison
from tfm.analysis.figures.confusion import draw_confusion
from tfm.analysis.figures.learning_curves import draw_learning_curves
from tfm.analysis.figures.precision_recall import draw_precision_recall
from tfm.analysis.figures.reliability import draw_reliability
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.figures.score_distributions import draw_score_distributions
from tfm.analysis.figures.style import save_figure, style_series
from tfm.analysis.figures.subgroups import draw_subgroups
from tfm.analysis.subgroups import Subgroup
from tfm.metrics.intervals import Interval

EPOCHS = pd.DataFrame(
    {"epoch": [1, 2, 3], "train_loss": [0.7, 0.5, 0.3], "val_loss": [0.7, 0.6, 0.65], "val_auc": [0.5, 0.8, 0.7]}
)


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(make_model(2.0))


@pytest.mark.parametrize(("count", "note"), [(MOST_BARS, ""), (200, f"the first {MOST_BARS} of 200 rows")])
def test_comparison_says_how_many_models_it_leaves_out(count, note):
    (axes,) = draw_comparison([(f"Net {number}", 0.8, 0.7, 0.9) for number in range(count)]).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [f"Net {number}" for number in range(MOST_BARS)]
    assert note in axes.get_xlabel()
    assert ("rows" in axes.get_xlabel()) == bool(note)


def test_roc_goes_through_every_threshold(evaluation):
    (axes,) = draw_roc({"Net": evaluation}).axes
    (curve,) = (line for line in axes.lines if line.get_label().startswith("Net"))
    rates, sensitivities, _ = roc_curve(evaluation.labels, evaluation.probs, drop_intermediate=False)
    assert curve.get_xdata() == pytest.approx(rates)
    assert curve.get_ydata() == pytest.approx(sensitivities)


def test_many_models_look_different_and_have_no_bands(evaluation):
    (axes,) = draw_roc({f"Net {number}": evaluation for number in range(9)}).axes
    assert not axes.collections
    assert len({tuple(style_series(number).items()) for number in range(28)}) == 28


def test_the_legend_of_precision_recall_curves_is_outside_the_axes(evaluation):
    figure = draw_precision_recall({"Net": evaluation})
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_legend() is None
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0


def test_reliability_counts_have_whole_ticks_and_name_no_kind_of_model(evaluation):
    figure = draw_reliability(evaluation)
    figure.draw_without_rendering()
    _, lower = figure.axes
    assert all(float(tick).is_integer() for tick in lower.get_yticks())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(label.startswith("as predicted: error") for label in labels)
    assert not any("network" in label for label in labels)


def test_learning_curves_overlay_training_and_validation_and_mark_the_kept_epoch():
    loss, auc = draw_learning_curves(EPOCHS).axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "epoch 2 was kept"]
    assert auc.get_title() == "AUC"
    regularisation = draw_learning_curves(EPOCHS.rename(columns={"epoch": "C"}))
    assert regularisation.axes[0].get_xscale() == "log"


def test_confusion_matrix_shows_the_counts(evaluation):
    (axes,) = draw_confusion({"test": evaluation}).axes
    counts = evaluation.confusion
    assert [int(text.get_text().split("\n")[0]) for text in axes.texts] == [
        *(counts.tn, counts.fp),
        *(counts.fn, counts.tp),
    ]


def test_subgroup_of_few_patients_is_named_without_an_auc(evaluation):
    undefined = Interval(math.nan, math.nan, math.nan)
    (axes,) = draw_subgroups(
        evaluation,
        [
            Subgroup("view", "CC", 30, 15, 30, {"auc": Interval(0.8, 0.7, 0.9)}),
            Subgroup("density", "4", 3, 1, 3, {"auc": undefined}),
        ],
    ).axes
    assert [text.get_text() for text in axes.texts] == ["too few patients"]
    assert axes.get_yticklabels()[1].get_text() == "breast density 4 (3 images, 1 malignant)"
    assert sum(len(line.get_xdata()) == 1 for line in axes.lines) == 1


@pytest.mark.long
def test_nothing_is_clipped(evaluation, tmp_path):
    """The margin of every figure is white, also with long names and captions."""
    name = "A model with a rather long name that somebody chose [0a1b2c]"
    several = {f"{name} {number}": evaluation for number in range(13)}
    figures = {
        "roc": draw_roc(several),
        "precision-recall": draw_precision_recall(several),
        "reliability": draw_reliability(evaluation),
        "confusion": draw_confusion(several),
        "scores": draw_score_distributions({name: evaluation, "test": evaluation}),
        "learning-curves": draw_learning_curves(EPOCHS),
    }
    for file, figure in figures.items():
        png, pdf = save_figure(figure, tmp_path, file, "A caption. " * 60)
        pixels = read_pixels(png)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all(), file
        assert pdf.read_bytes().startswith(b"%PDF")
        (caption,) = (text for text in figure.texts if text.get_text().startswith("A caption"))
        for legend in figure.legends:
            assert legend.get_window_extent().y0 > caption.get_window_extent().y1, file


def read_pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))
