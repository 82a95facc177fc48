"""Figures of one model and rankings of several: by women, at validation's threshold, within one protocol."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tfm.analysis.comparison import COLUMNS, rank_models
from tfm.analysis.evaluation import count_independent_trials, evaluate, format_interval
from tfm.analysis.threshold import format_threshold
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.metrics.classification import Interval, compute_auc, compute_exact_interval

PROTOCOL = Protocol(
    dataset="cbis",
    arranged="official, mass",
    dataset_hash="a" * 64,
    split_hash="b" * 64,
    synthetic=False,
    images=60,
    malignant=30,
    women=30,
    threshold_rule="youden",
)


def trained(skill: float, run: str = "2026-01-01_Net_000001", model: str = "Net", protocol=PROTOCOL, threshold=0.5):
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(30) % 2, 2)
    probs = 1 / (1 + np.exp(-(skill * (labels - 0.5) + generator.normal(size=60))))
    predictions = pd.DataFrame(
        {"patient_id": np.repeat([f"P_{woman:05d}" for woman in range(30)], 2), "label": labels, "prob": probs}
    )
    return TrainedModel(run, model, "none: from scratch", 10, 1.5, threshold, predictions, protocol)


def test_the_figures_are_those_of_the_predictions_at_the_runs_own_threshold():
    model = trained(2.0, threshold=0.3)
    judged = evaluate(model)
    truth, called = model.predictions["label"] == 1, model.predictions["prob"] >= 0.3
    assert judged.auc.value == compute_auc(model.predictions["label"].to_numpy(), model.predictions["prob"].to_numpy())
    assert judged.rates["sensitivity"].value == (called & truth).sum() / truth.sum()
    assert judged.rates["specificity"].value == (~called & ~truth).sum() / (~truth).sum()
    assert judged.rates["accuracy"].value == (called == truth).mean()
    assert judged.confusion.tp + judged.confusion.fn == 30


def test_every_figure_lies_within_its_interval():
    judged = evaluate(trained(1.0))
    for interval in (judged.auc, *judged.rates.values()):
        assert interval.low <= interval.value <= interval.high
        assert interval.low < interval.high


def test_the_interval_is_the_same_each_time():
    assert evaluate(trained(1.0)).values() == evaluate(trained(1.0)).values()


def test_a_figure_that_is_not_defined_is_none_for_programs_and_a_dash_for_people():
    judged = dataclasses.replace(evaluate(trained(1.0)), auc=Interval(0.7, math.nan, math.nan))
    assert judged.values()["auc_low"] is None
    assert format_interval(judged.auc) == "0.700 (– to –)"


def test_the_best_auc_comes_first_and_the_order_of_the_runs_changes_nothing():
    models = [trained(skill, f"2026-01-01_Net_{number:06x}") for number, skill in enumerate((0.5, 3.0, 1.5))]
    (ranking,) = rank_models(models)
    aucs = [judged.auc.value for _, _, judged in ranking.entries]
    assert aucs == sorted(aucs, reverse=True)
    for order in ((2, 0, 1), (1, 2, 0)):
        assert rank_models([models[number] for number in order])[0].table() == ranking.table()
    assert [len(row) for row in ranking.table()] == [len(COLUMNS)] * 3


@pytest.mark.parametrize(
    "other",
    [{"dataset_hash": "c" * 64}, {"split_hash": "c" * 64}, {"images": 61}, {"split": "val"}, {"synthetic": True}],
)
def test_unlike_protocols_are_never_ranked_in_one_table(other):
    unlike = trained(1.0, "2026-01-01_Net_000002", protocol=dataclasses.replace(PROTOCOL, **other))
    rankings = rank_models([trained(1.0), unlike])
    assert [len(ranking.entries) for ranking in rankings] == [1, 1]


def test_another_name_for_the_same_data_is_the_same_protocol():
    renamed = trained(1.0, "2026-01-01_Net_000002", protocol=dataclasses.replace(PROTOCOL, dataset="copy"))
    assert len(rank_models([trained(1.0), renamed])) == 1


def test_two_runs_of_one_model_are_told_apart():
    (ranking,) = rank_models([trained(1.0, "2026-01-01_Net_00000a"), trained(1.0, "2026-01-01_Net_00000b")])
    assert [name for name, _, _ in ranking.entries] == ["Net [00000a]", "Net [00000b]"]


def test_a_caption_carries_the_protocol_and_says_when_the_data_are_phantoms():
    for said in ("cbis", "official, mass", "bbbbbbbb", "60 images", "30 women", "per image", "95 %"):
        assert said in PROTOCOL.words
    assert "phantoms" not in PROTOCOL.words
    phantom = dataclasses.replace(PROTOCOL, synthetic=True).words
    assert "say nothing about performance on real mammograms" in phantom
    assert "organize a download" in phantom


def test_models_whose_thresholds_were_chosen_by_other_rules_are_not_ranked_together_and_each_names_its_own():
    careful = dataclasses.replace(PROTOCOL, threshold_rule="sensitivity:0.9")
    rankings = rank_models([trained(1.0), trained(1.0, run="2026-01-01_Net_000002", protocol=careful)])
    assert len(rankings) == 2
    assert "(Youden: largest sensitivity + specificity)" in rankings[0].protocol.words
    assert "(for a sensitivity of 0.9 at least)" in rankings[1].protocol.words


def test_a_figure_of_exactly_one_is_no_certainty():
    judged = evaluate(trained(1000.0))
    assert judged.auc.value == judged.rates["sensitivity"].value == 1
    fifteen_women = 0.025 ** (1 / 15)
    for interval in (judged.auc, judged.rates["sensitivity"], judged.rates["specificity"]):
        assert (interval.low, interval.high) == (pytest.approx(fifteen_women), 1)
    assert judged.rates["accuracy"].low == pytest.approx(0.025 ** (1 / 30))
    assert math.isnan(judged.rates["f1"].low)
    assert "Clopper-Pearson" in PROTOCOL.words


def test_pairs_are_made_of_different_women():
    labels, patients = np.array([1, 0, 1, 0, 1]), np.array(["a", "a", "b", "b", "c"])
    assert count_independent_trials(labels, patients) == {
        "auc": 1,
        "accuracy": 3,
        "sensitivity": 3,
        "specificity": 2,
        "f1": 0,
    }


def test_of_samples_that_are_perfectly_told_apart_the_interval_leaves_out_the_truth_seldom_enough():
    """All pairs won, as the truth would have it at the lower end, is what happens once in forty samples at most."""
    generator, interval = np.random.default_rng(4), compute_exact_interval(1.0, 6)
    apart = np.sqrt(2) * norm.ppf(interval.low)  # two normals whose AUC is the lower end
    perfect = [generator.normal(apart, 1, 6).min() > generator.normal(0, 1, 6).max() for _ in range(4000)]
    assert 0 < np.mean(perfect) <= 0.025


@pytest.mark.parametrize(("threshold", "says"), [(0.495588, "0.495588"), (0.5, "0.500"), (0.1 + 0.2, "0.300")])
def test_the_printed_threshold_calls_the_same_images_malignant(threshold, says):
    """0.496 would call the image at 0.49559 benign."""
    probs = np.array([0.1, 0.29, threshold, 0.49559, 0.8])
    text = format_threshold(threshold, probs)
    assert text == says
    assert np.array_equal(probs >= float(text), probs >= threshold)


def test_a_figure_that_is_not_defined_is_one_dash_and_no_interval_of_dashes():
    assert format_interval(Interval(math.nan, math.nan, math.nan)) == "–"
