"""Rankings: the best AUC first, runs that differ only in fold and seed as one row, and never across protocols."""

import dataclasses
import re
import time

import numpy as np
import pandas as pd
import pytest

from tests.analysis.models import PATIENTS, PROTOCOL, make_model
from tests.metrics.clustered_images import draw_study
from tfm.analysis.comparison import OUT_OF_FOLD_COLUMNS, RUN_COLUMNS, rank_models, rank_out_of_fold
from tfm.analysis.describe_comparison import describe_outcome
from tfm.core.errors import DataError
from tfm.metrics.classification import compute_auc, find_youden_threshold
from tfm.metrics.delong import compute_placements, run_delong_test


def make_runs(skill, folds=(1,), seeds=(7,), rate=0.1):
    """Make the runs of one model, as a queue of folds and seeds leaves them."""
    return [
        make_model(
            skill,
            f"2026-01-01_Net_{int(1000 * rate):02x}{fold:02x}{seed:02x}",
            dataclasses.replace(PROTOCOL, arrangement=f"official test, fold {fold} of 5", split_hash=str(fold) * 64),
            noise_seed=10 * fold + seed,
            fold=fold,
            seed=seed,
            learning_rate=rate,
        )
        for fold in folds
        for seed in seeds
    ]


def test_best_auc_comes_first_and_the_order_of_the_runs_has_no_effect():
    models = [
        make_model(skill, f"2026-01-01_Net_{number:06x}", learning_rate=skill)
        for number, skill in enumerate((0.5, 3.0, 1.5))
    ]
    (ranking,) = rank_models(models)
    aucs = [entry.auc.value for _, entry in ranking.entries]
    assert aucs == sorted(aucs, reverse=True)
    for order in ((2, 0, 1), (1, 2, 0)):
        assert rank_models([models[number] for number in order])[0].format_rows() == ranking.format_rows()
    assert [len(row) for row in ranking.format_rows()] == [len(ranking.columns)] * 4, "three models and their mean"
    assert not ranking.is_repeated


@pytest.mark.parametrize(
    "difference",
    [
        {"dataset_hash": "c" * 64},
        {"split_hash": "c" * 64},
        {"images": 61},
        {"split": "val"},
        {"synthetic": True},
        {"threshold_rule": "sensitivity:0.9"},
    ],
)
def test_different_protocols_are_never_ranked_in_one_table(difference):
    protocol = dataclasses.replace(PROTOCOL, **difference)
    other = make_model(1.0, "2026-01-01_Net_000002", protocol=protocol, learning_rate=0.2)
    rankings = rank_models([make_model(1.0), other])
    assert [len(ranking.entries) for ranking in rankings] == [1, 1]


def test_renamed_dataset_is_the_same_protocol():
    protocol = dataclasses.replace(PROTOCOL, dataset="copy")
    renamed = make_model(1.0, "2026-01-01_Net_000002", protocol=protocol, learning_rate=0.2)
    assert len(rank_models([make_model(1.0), renamed])) == 1


def test_two_runs_of_one_model_with_other_settings_have_different_names():
    runs = [make_model(1.0, f"2026-01-01_Net_00000{letter}", learning_rate=letter) for letter in "ab"]
    (ranking,) = rank_models(runs)
    assert [name for name, _ in ranking.entries] == ["Net [00000a]", "Net [00000b]"]


def test_seeds_of_one_model_are_one_row_with_their_mean_and_range():
    runs = make_runs(1.0, seeds=(7, 8, 9))
    (ranking,) = rank_models(runs)
    (row, together), (mean,) = ranking.format_rows(), ranking.list_means()
    aucs = [compute_auc(run.predictions["label"], run.predictions["prob"]) for run in runs]
    assert mean["auc_each"] == aucs
    assert mean["auc"] == pytest.approx(sum(aucs) / 3)
    assert mean["auc_low"] < min(aucs)
    assert row[ranking.columns.index("runs")] == "3"
    assert row[ranking.columns.index("lowest to highest run")] == f"{min(aucs):.3f} to {max(aucs):.3f}"
    assert row[ranking.columns.index("standard deviation")] == f"{np.std(aucs, ddof=1):.3f}"
    assert together[0] == "mean of 3 runs"
    assert [line[RUN_COLUMNS.index("seed")] for line in ranking.format_runs()] == ["7", "8", "9"]
    assert not rank_out_of_fold(ranking), "one fold has nothing to pool"


def test_folds_of_one_model_are_one_row_on_the_test_images_and_one_out_of_fold():
    better, worse = make_runs(2.0, folds=(1, 2, 3, 4, 5)), make_runs(0.5, folds=(1, 2, 3, 4, 5), rate=0.2)
    (ranking,) = rank_models([*worse, *better])
    assert [len(entry.models) for _, entry in ranking.entries] == [5, 5]
    assert ranking.entries[0][1].models == better
    assert "official test, folds 1, 2, 3, 4, 5 of 5" in ranking.caption
    (pooled,) = rank_out_of_fold(ranking)
    assert [len(row) for row in pooled.format_rows()] == [len(OUT_OF_FOLD_COLUMNS)] * 2
    assert f"out of fold, per image: {10 * PATIENTS} images" in pooled.caption
    assert f"of {5 * PATIENTS} patients" in pooled.caption
    first, second = pooled.list_values()
    assert first["auc"] > second["auc"]


def test_folds_with_several_seeds_are_pooled_for_each_seed():
    (ranking,) = rank_models(make_runs(1.0, folds=(1, 2), seeds=(7, 8, 9)))
    ((name, pooled),) = rank_out_of_fold(ranking)[0].entries
    assert name == "Net"
    assert pooled.estimate.values.size == 3
    assert pooled.protocol.images == 2 * PROTOCOL.images


def test_a_missing_fold_of_a_seed_leaves_nothing_to_pool_and_other_folds_are_another_protocol():
    runs = make_runs(1.0, folds=(1, 2), seeds=(7, 8))
    (ranking,) = rank_models(runs[:-1])
    assert not rank_out_of_fold(ranking)
    three_folds = make_runs(1.0, folds=(1, 2, 3), rate=0.2)
    assert [len(ranking.entries) for ranking in rank_models([*runs, *three_folds])] == [1, 1]


def make_models(skills, **changes):
    return [
        make_model(skill, f"2026-01-01_Net_{number:06x}", noise_seed=number, learning_rate=number + 1, **changes)
        for number, skill in enumerate(skills)
    ]


def test_the_best_and_all_that_cannot_be_told_from_it_are_marked():
    (ranking,) = rank_models(make_models((3.0, 2.6, 0.1)))
    assert [row.rank for row in ranking.rows] == ["1*", "2*", "3", "–"]
    assert "*: the best model" in ranking.caption
    worst = ranking.tests_with_best[ranking.entries[2][0]]
    assert worst.is_significant
    assert worst.holm_p > worst.difference.p_value, "corrected"


def test_p_values_are_corrected_for_all_pairs():
    (ranking,) = rank_models(make_models((3.0, 2.0, 1.0, 0.5)))
    assert len(ranking.tests) == 6
    smallest = min(ranking.tests, key=lambda test: test.difference.p_value)
    assert smallest.holm_p == pytest.approx(6 * smallest.difference.p_value)


def test_differences_are_those_of_the_auc_and_delong_stands_beside():
    (ranking,) = rank_models(make_models((2.0, 1.0)))
    (test,) = ranking.tests
    (_, best), (_, other) = ranking.entries
    assert test.difference.value == pytest.approx(best.auc.value - other.auc.value)
    _, row, _ = ranking.rows
    assert row.difference.value == pytest.approx(-test.difference.value)
    labels = best.first.predictions["label"]
    placements = [compute_placements(labels, one.first.predictions["prob"]) for one in (best, other)]
    assert test.delong_p == run_delong_test(*placements).p_value


def test_one_model_has_nothing_to_be_compared_with():
    (ranking,) = rank_models(make_models((1.0,)))
    assert [row.rank for row in ranking.rows] == ["1"]
    assert not ranking.tests
    assert describe_outcome(ranking) == "Net is the only model that was tested this way."


def test_the_mean_is_that_of_the_probabilities_with_a_threshold_from_validation():
    models = make_models((2.0, 1.0))
    (ranking,) = rank_models(models)
    mean = ranking.mean.first
    assert mean.model == "mean of 2 models"
    probs = sum(model.predictions["prob"] for model in models) / 2
    assert np.allclose(mean.predictions["prob"], probs)
    validation = sum(model.validation["prob"] for model in models) / 2
    assert mean.threshold == pytest.approx(find_youden_threshold(mean.validation["label"], validation))


def test_the_mean_of_models_of_several_folds_has_no_threshold_and_no_rates():
    (ranking,) = rank_models(make_runs(2.0, folds=(1, 2)))
    assert np.isnan(ranking.mean.first.threshold)
    assert ranking.format_rows()[-1][-2:] == ["–", "–"]


def test_an_average_of_runs_is_ranked_but_no_part_of_the_mean():
    one, other = make_models((2.0, 1.0))
    average = dataclasses.replace(one, run="2026-01-01_Net_00000c", stage="average", model="Net + Net")
    (ranking,) = rank_models([one, other, average])
    assert len(ranking.entries) == 3
    assert ranking.mean.first.model == "mean of 2 models"


def test_ties_everywhere_are_an_auc_of_one_half_that_differs_from_nothing():
    constant = [
        dataclasses.replace(model, predictions=model.predictions.assign(prob=0.5)) for model in make_models((1.0, 1.0))
    ]
    (ranking,) = rank_models(constant)
    assert [entry.auc.value for _, entry in ranking.entries] == [0.5, 0.5]
    assert ranking.tests[0].holm_p == 1


def test_a_test_set_of_one_class_is_refused_by_the_name_of_the_run():
    protocol = dataclasses.replace(PROTOCOL, malignant=0)
    model = make_model(1.0, protocol=protocol)
    benign = dataclasses.replace(model, predictions=model.predictions.assign(label=0))
    with pytest.raises(DataError, match="2026-01-01_Net_000001 has no AUC: all 60 test images are benign"):
        rank_models([benign])


def test_predictions_of_other_images_are_refused():
    one, other = make_models((2.0, 1.0))
    moved = other.predictions.assign(patient_id=other.predictions["patient_id"].to_numpy()[::-1])
    with pytest.raises(DataError, match="different test images"):
        rank_models([one, dataclasses.replace(other, predictions=moved)])


def test_the_outcome_is_a_sentence_with_the_difference_and_the_patients_needed():
    (alike,) = rank_models(make_models((1.3, 1.1)))
    assert re.fullmatch(
        r"Net \[\d+\] has the highest AUC\. This test cannot tell it from Net \[\d+\] "
        r"\(difference 0\.\d{3}, −0\.\d{3} to 0\.\d{3}\); about [\d,]+ patients would be needed "
        r"\(this test has 30\)\. It can detect a difference of about 0\.\d{3} \(power 80 %\)\.",
        describe_outcome(alike),
    )
    (apart,) = rank_models(make_models((4.0, 0.1)))
    assert describe_outcome(apart).endswith("This test tells it from Net [000001].")


def test_a_test_set_that_cannot_tell_the_best_from_chance_is_too_small_for_any_difference():
    (ranking,) = rank_models(make_models((0.2, 0.1)))
    (test,) = ranking.tests
    assert test.detectable > ranking.entries[0][1].auc.value - 0.5
    outcome = describe_outcome(ranking)
    assert "This test cannot tell any of these models from guessing." in outcome
    assert "It can detect" not in outcome


def test_the_caption_counts_pairs_only_if_p_values_are_corrected():
    (pair,), (several,) = rank_models(make_models((2.0, 1.0))), rank_models(make_models((2.0, 1.0, 0.5)))
    assert "with one pair of models, Holm p needs no correction" in pair.caption
    assert "Holm p is corrected for 3 pairs of models" in several.caption


def test_seeds_that_differ_too_much_need_more_seeds_and_not_more_patients():
    spread = [
        make_model(skill, f"2026-01-01_Net_{rate:02x}{seed:04x}", noise_seed=seed, seed=seed, learning_rate=rate)
        for rate, skills in ((1, (3.0, 0.2)), (2, (2.5, 0.2)))
        for seed, skill in enumerate(skills)
    ]
    (ranking,) = rank_models(spread)
    assert "more seeds would be needed" in describe_outcome(ranking)


@pytest.mark.alone
def test_ten_models_of_700_images_are_compared_in_under_a_second():
    study = draw_study(np.random.default_rng(1), 280, [0.8] * 10)
    predictions = pd.DataFrame({"patient_id": study.patients, "label": study.labels, "images": 1})
    models = [
        dataclasses.replace(
            model, predictions=predictions.assign(prob=scores), validation=predictions.assign(prob=scores)
        )
        for model, scores in zip(make_models([1.0] * 10), 1 / (1 + np.exp(-study.scores.T)), strict=True)
    ]
    start = time.perf_counter()
    (ranking,) = rank_models(models)
    assert len(ranking.tests) == 45
    assert time.perf_counter() - start < 1
