"""Rankings: the best AUC first, and never across protocols."""

import dataclasses

import pytest

from tests.analysis.models import PROTOCOL, make_model
from tfm.analysis.comparison import COLUMNS, rank_models


def test_best_auc_comes_first_and_the_order_of_the_runs_has_no_effect():
    models = [make_model(skill, f"2026-01-01_Net_{number:06x}") for number, skill in enumerate((0.5, 3.0, 1.5))]
    (ranking,) = rank_models(models)
    aucs = [evaluation.auc.value for _, _, evaluation in ranking.entries]
    assert aucs == sorted(aucs, reverse=True)
    for order in ((2, 0, 1), (1, 2, 0)):
        assert rank_models([models[number] for number in order])[0].format_rows() == ranking.format_rows()
    assert [len(row) for row in ranking.format_rows()] == [len(COLUMNS)] * 3


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
    other = make_model(1.0, "2026-01-01_Net_000002", protocol=dataclasses.replace(PROTOCOL, **difference))
    rankings = rank_models([make_model(1.0), other])
    assert [len(ranking.entries) for ranking in rankings] == [1, 1]


def test_renamed_dataset_is_the_same_protocol():
    renamed = make_model(1.0, "2026-01-01_Net_000002", protocol=dataclasses.replace(PROTOCOL, dataset="copy"))
    assert len(rank_models([make_model(1.0), renamed])) == 1


def test_two_runs_of_one_model_have_different_names():
    (ranking,) = rank_models([make_model(1.0, "2026-01-01_Net_00000a"), make_model(1.0, "2026-01-01_Net_00000b")])
    assert [name for name, _, _ in ranking.entries] == ["Net [00000a]", "Net [00000b]"]
