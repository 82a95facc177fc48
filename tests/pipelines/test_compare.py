"""Comparison: one table for each protocol, whatever the order of the runs."""

import pytest

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tfm.core.errors import SettingsError
from tfm.core.events import IntervalChart, Note, Picture, Table
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace

TINY = {"architecture": "test_resnet", "epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one dataset, and one on another that lacks a test patient and is not synthetic."""
    workspace = Workspace(tmp_path_factory.mktemp("compare") / "workspace")
    make_small_dataset(workspace)
    make_small_dataset(workspace, "other", synthetic=False)
    rewrite_manifest(workspace, lambda manifest: manifest[manifest["patient_id"] != "P_test03"], "other")
    other = {"dataset": "other", "cache": "other"}
    return [
        finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY)),
        finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY, seed=8)),
        finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY, **other)),
    ]


def compared(runs):
    return finish_run(find_or_create_job(runs[0].workspace, "compare", {"runs": [run.id for run in runs]}))


def of_kind(run, kind):
    return [event for event in run.read_events() if isinstance(event, kind)]


def test_models_with_different_data_are_in_separate_tables(runs):
    tables = of_kind(compared(runs), Table)
    assert sorted(len(table.rows) for table in tables) == [1, 2]
    for table in tables:
        assert ("phantoms" in table.caption) == (len(table.rows) == 2)
        assert "dataset" in table.caption


def test_the_order_of_the_runs_does_not_matter(runs):
    forth, back = compared(runs), compared(runs[::-1])
    assert of_kind(forth, Table) == of_kind(back, Table)
    assert forth.read_status().result["rows"] == back.read_status().result["rows"]


def test_without_names_all_complete_runs_are_compared(runs):
    everything = finish_run(find_or_create_job(runs[0].workspace, "compare", {}))
    assert {row["run"] for row in everything.read_status().result["rows"]} == {run.id for run in runs}


def test_changed_runs_are_left_out_and_named(runs):
    table = runs[0].predictions_file("val")
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    try:
        everything = finish_run(find_or_create_job(runs[0].workspace, "compare", {}))
        named = compared(runs[2:])
    finally:
        table.write_bytes(whole)
    assert {row["run"] for row in everything.read_status().result["rows"]} == {run.id for run in runs[1:]}
    (note,) = of_kind(everything, Note)
    assert note.level == "warning"
    assert f"{runs[0].id} is left out" in note.text
    assert f"runs restart {runs[0].id}" in note.text
    assert not of_kind(named, Note)


def test_each_table_has_intervals_and_a_picture(runs):
    run = compared(runs[:2])
    (drawn,) = of_kind(run, IntervalChart)
    assert all(low <= value <= high for _, value, low, high in drawn.rows)
    assert drawn.mark == 0.5
    (picture,) = of_kind(run, Picture)
    assert (run.workspace.root / picture.path).read_bytes().startswith(b"\x89PNG")


def test_a_row_describes_the_model(runs):
    (row,) = compared(runs[:1]).read_status().result["rows"]
    assert row["weights"] == "none: from scratch"
    assert row["parameters"] == 372_497
    assert row["minutes"] > 0
    assert row["synthetic"]


def test_no_runs_to_compare_gives_a_hint(workspace):
    with pytest.raises(SettingsError, match="runs"):
        find_or_create_job(workspace, "compare", {})
