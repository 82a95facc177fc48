"""The power of a test set, asked before anything is trained."""

import pytest

from tests.training.small_dataset import finish_run, make_small_dataset, rewrite_manifest
from tfm.core.errors import SettingsError
from tfm.core.events import Result, Table
from tfm.core.files import read_json
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job


def compute(workspace, **given):
    return finish_run(find_or_create_job(workspace, "power", given))


def test_power_is_computed_for_the_test_images_and_exported(workspace):
    make_small_dataset(workspace)
    run = compute(workspace, auc=0.9, difference=0.3)
    (table,) = (event for event in run.read_events() if isinstance(event, Table))
    assert "20 images (10 malignant) of 10 patients" in table.caption
    (outcome,) = (event.summary for event in run.read_events() if isinstance(event, Result))
    assert outcome.startswith("This test set cannot tell a model with an AUC of 0.9 from chance.")
    assert "in the right direction, so the chance for a tiny difference is below 5 %" in table.caption
    result = run.read_status().result
    assert result["detectable_difference"] is None
    assert [row["difference"] for row in result["differences"]] == [0.01, 0.02, 0.05, 0.1, 0.3]
    powers = [row["power"] for row in result["differences"]]
    assert powers == sorted(powers), "a larger difference is easier to find"
    assert read_json(run.figures_folder / "power.json")["rows"] == result["differences"]


def test_a_difference_to_a_model_worse_than_chance_is_refused(workspace):
    make_small_dataset(workspace)
    with pytest.raises(SettingsError, match="worse than chance") as error:
        compute(workspace, auc=0.6, difference=0.2)
    assert error.value.fields == ("auc", "difference")


def test_a_test_set_of_one_class_is_refused(workspace):
    make_small_dataset(workspace)
    rewrite_manifest(
        workspace, lambda manifest: manifest[(manifest["split"] != "test") | (manifest["label"] == "benign")]
    )
    run = find_or_create_job(workspace, "power", {})
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "one class only" in run.read_status().message
