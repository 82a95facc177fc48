"""Predictions of breasts and patients: what they are made from, and what they are never ranked with."""

import dataclasses

import pandas as pd
import pytest

from tests.analysis.models import PROTOCOL, make_model
from tfm.analysis.comparison import rank_models
from tfm.analysis.units import group_by_unit
from tfm.core.errors import DataError

IMAGES = pd.DataFrame(
    [
        ("P_1", "LEFT", "CC", 0, 0.2),
        ("P_1", "LEFT", "MLO", 1, 0.5),
        ("P_1", "RIGHT", "CC", 0, 0.6),
        ("P_2", "LEFT", "MLO", 0, 1.0),
        ("P_2", "LEFT", "CC", 0, 0.0),
    ],
    columns=["patient_id", "side", "view", "label", "prob"],
)


def test_breast_has_the_mean_of_its_images_also_with_one_view_and_with_certain_probabilities():
    breasts = group_by_unit(IMAGES, "breast").set_index(["patient_id", "side"])
    assert breasts["prob"].to_dict() == {
        ("P_1", "LEFT"): pytest.approx(0.35),
        ("P_1", "RIGHT"): 0.6,
        ("P_2", "LEFT"): 0.5,
    }


def test_patient_has_the_probability_of_the_more_suspicious_breast():
    assert group_by_unit(IMAGES, "patient").set_index("patient_id")["prob"].to_dict() == {"P_1": 0.6, "P_2": 0.5}


def test_breast_and_patient_are_malignant_if_one_image_is():
    assert group_by_unit(IMAGES, "breast")["label"].tolist() == [1, 0, 0]
    assert group_by_unit(IMAGES, "patient")["label"].tolist() == [1, 0]


def test_patients_who_all_have_a_malignant_image_are_refused():
    malignant = IMAGES[IMAGES["patient_id"] == "P_1"]
    assert len(group_by_unit(malignant, "breast")) == 2
    with pytest.raises(DataError, match="each of the 1 patients has a malignant image"):
        group_by_unit(malignant, "patient")


@pytest.mark.parametrize("unit", ["image", "breast", "patient"])
def test_every_image_counts_in_one_unit(unit):
    assert group_by_unit(IMAGES, unit)["images"].sum() == len(IMAGES)


def test_models_counted_in_different_units_are_never_ranked_together():
    units = ("image", "breast", "patient")
    models = [
        make_model(1.0, f"2026-01-01_Net_{number}", dataclasses.replace(PROTOCOL, unit=unit), learning_rate=number)
        for number, unit in enumerate(units)
    ]
    rankings = rank_models(models)
    assert [len(ranking.entries) for ranking in rankings] == [1, 1, 1]
    for ranking, unit in zip(rankings, units, strict=True):
        assert f"test, per {unit}: " in ranking.caption


def test_two_units_of_one_run_are_not_seeds_of_one_model():
    image, breast = make_model(1.0), make_model(1.0, protocol=dataclasses.replace(PROTOCOL, unit="breast"))
    assert [len(ranking.entries) for ranking in rank_models([image, breast])] == [1, 1]
