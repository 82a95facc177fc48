"""Rankings: the best AUC first, runs that differ only in fold and seed as one row, and never across protocols."""

import dataclasses

import pytest

from tests.analysis.models import PATIENTS, PROTOCOL, make_model
from tfm.analysis.comparison import OUT_OF_FOLD_COLUMNS, RUN_COLUMNS, rank_models, rank_out_of_fold
from tfm.metrics.classification import compute_auc


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
    assert [len(row) for row in ranking.format_rows()] == [len(ranking.columns)] * 3
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
    (row,), (mean,) = ranking.format_rows(), ranking.list_means()
    aucs = [compute_auc(run.predictions["label"], run.predictions["prob"]) for run in runs]
    assert mean["auc_each"] == aucs
    assert mean["auc"] == pytest.approx(sum(aucs) / 3)
    assert mean["auc_low"] < min(aucs)
    assert row[ranking.columns.index("runs")] == "3"
    assert row[ranking.columns.index("lowest to highest run")] == f"{min(aucs):.3f} to {max(aucs):.3f}"
    assert row[ranking.columns.index("min")] == "4.5"
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
