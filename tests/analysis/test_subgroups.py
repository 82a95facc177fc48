"""Subgroups of the test images, with their counts, and metrics where there are enough patients."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.analysis.models import PATIENTS, make_model
from tfm.analysis.evaluation import evaluate
from tfm.analysis.subgroups import FEWEST_PATIENTS, evaluate_subgroups


@pytest.fixture
def evaluation():
    model = make_model(1.0)
    images = range(2 * PATIENTS)
    model.predictions["image_id"] = [f"image {number}" for number in images]
    model.predictions["view"] = np.where(np.arange(2 * PATIENTS) % 2, "MLO", "CC")
    return evaluate(model, resample=False)


def make_manifest(**columns) -> pd.DataFrame:
    manifest = pd.DataFrame({"image_id": [f"image {number}" for number in range(2 * PATIENTS)]})
    return manifest.assign(**dict.fromkeys(("kind", "density", "assessment", "subtlety"), "") | columns)


def test_metrics_are_those_of_the_subgroups_images(evaluation):
    table = evaluation.model.predictions
    for one in evaluate_subgroups(evaluation, None):
        own = table[table["view"] == one.value]
        assert (one.images, one.malignant, one.patients) == (len(own), own["label"].sum(), own["patient_id"].nunique())
        assert one.metrics["auc"].value == pytest.approx(roc_auc_score(own["label"], own["prob"]), abs=1e-12)
        assert one.metrics["auc"].low < one.metrics["auc"].value < one.metrics["auc"].high


def test_subgroup_of_few_patients_has_counts_only(evaluation):
    small = 2 * FEWEST_PATIENTS - 1  # of either class
    kinds = np.where(np.arange(2 * PATIENTS) < 2 * small, "calc", "mass")
    calc = evaluate_subgroups(evaluation, make_manifest(kind=kinds))[2]
    assert (calc.grouping, calc.value, calc.patients) == ("kind", "calc", small)
    assert math.isnan(calc.metrics["auc"].value)
    assert [math.isnan(calc.metrics[name].value) for name in ("sensitivity", "specificity")] == [True, False]
    assert calc.list_values()["auc"] is None


def test_unknown_values_are_a_subgroup_and_a_single_value_makes_none(evaluation):
    density = [1, 2] * (PATIENTS - 5) + [None] * 10
    manifest = make_manifest(density=pd.array(density, dtype="Int64"), kind="mass")
    found = [(one.value, one.images) for one in evaluate_subgroups(evaluation, manifest) if one.grouping != "view"]
    assert found == [("1", PATIENTS - 5), ("2", PATIENTS - 5), ("unknown", 10)]
