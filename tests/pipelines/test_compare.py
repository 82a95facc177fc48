"""Comparison: one table for each protocol, whatever the order of the runs."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.training.small_dataset import (
    QUICK_SETTINGS,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
)
from tfm.analysis.predictions import read_predictions
from tfm.commands.compare import Compare
from tfm.core.errors import SettingsError
from tfm.core.events import IntervalChart, Note, Picture, Progress, Result, Table
from tfm.core.files import read_json
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.inputs import complete_values, report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.workspace import Workspace
from tfm.metrics.classification import compute_auc
from tfm.ui.render import create_console, draw_event

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


def list_warnings(run):
    return [note.text for note in of_kind(run, Note) if note.level == "warning"]


def test_models_with_different_data_are_in_separate_tables(runs):
    tables = of_kind(compared(runs), Table)
    synthetic = [table for table in tables if "phantoms" in table.caption]
    (other,) = (table for table in tables if table not in synthetic)
    assert [len(table.rows) for table in synthetic] == [2, 2], (
        "each seed; their mean AUC, and that of mean probabilities"
    )
    assert len(other.rows) == 1
    assert all("dataset" in table.caption for table in tables)


def test_a_queue_of_folds_ends_with_their_mean_and_their_pooled_validation_images(workspace):
    make_small_dataset(workspace)
    rewrite_manifest(workspace, deal_folds)
    settings = QUICK_SETTINGS | TINY | {"folds": 2}
    plan = find_or_create_job(workspace, "train", settings, ["ResNet18_CFT"])
    assert worker.execute_plan(plan) == "done", plan.read_status().message
    run = find_run(workspace, plan.read_runs()["compare"])
    each, pooled, mean = of_kind(run, Table)
    assert [row[1:3] for row in each.rows] == [["1", "7"], ["2", "7"]]
    assert len(pooled.rows) == 1
    assert [row[1] for row in mean.rows] == [mean.rows[0][1], "mean of 2 runs"]
    assert "test, per image: 20 images" in mean.caption
    result = run.read_status().result
    (test,), (out_of_fold,) = result["means"], result["out_of_fold"]
    assert test["auc_each"] == [row["auc"] for row in result["rows"]]
    trained = [find_run(workspace, row["run"]) for row in result["rows"]]
    validated = pd.concat([read_predictions(one.predictions_file("val")) for one in trained])
    assert validated["image_id"].is_unique
    assert out_of_fold["auc"] == compute_auc(validated["label"], validated["prob"])
    assert f"out of fold, per image: {len(validated)} images" in pooled.caption


def deal_folds(manifest):
    patients = sorted(set(manifest["patient_id"][manifest["split"] != "test"]))
    fold_of = {patient: number // 2 % 5 + 1 for number, patient in enumerate(patients)}
    folds = manifest["patient_id"].map(fold_of).fillna(0).astype(int)
    return manifest.assign(fold=folds, split=np.select([folds == 0, folds == 1], ["test", "val"], "train"))


def test_all_tables_count_the_unit_that_is_asked_for(runs):
    run = finish_run(find_or_create_job(runs[0].workspace, "compare", {"runs": [runs[2].id], "unit": "breast"}))
    assert all("test, per breast: " in table.caption for table in of_kind(run, Table))
    assert {row["unit"] for row in run.read_status().result["rows"]} == {"breast"}


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
    note, *_ = list_warnings(everything)
    assert f"{runs[0].id} is left out" in note
    assert f"runs restart {runs[0].id}" in note
    assert not any("is left out" in text for text in list_warnings(named))


def damage_json(file, **values):
    file.write_text(json.dumps(read_json(file) | values))


DAMAGES = {
    "2026-01-01_train-environment_0a1b2c": lambda folder: (folder / "environment.json").write_text("{"),
    "2026-01-02_train-facts_0a1b2d": lambda folder: damage_json(folder / "environment.json", dataset_hash=5),
    "2026-01-03_train-result_0a1b2e": lambda folder: damage_json(folder / "status.json", result={}),
}
UNREADABLE = {
    "2026-01-04_train-status_0a1b2f": lambda folder: (folder / "status.json").write_text("{"),
    "2026-01-05_train-settings_0a1b30": lambda folder: (folder / "settings.yaml").write_text("["),
}


def test_damaged_runs_are_left_out_by_name_and_hide_no_other(runs, tmp_path):
    workspace = runs[0].workspace
    whole = copy_run(runs[1], "2026-01-06_train-whole_0a1b31")
    damaged = [copy_run(runs[0], name) for name in (*DAMAGES, *UNREADABLE)]
    try:
        for one in damaged:
            (DAMAGES | UNREADABLE)[one.id](one.folder)
        run = compared([*damaged[:3], whole])
        every = complete_values(workspace, Compare, {})
        notes = list(report_skipped_runs(workspace, Compare(**every), "runs"))
    finally:
        for one in (*damaged, whole):
            one.folder.rename(tmp_path / one.id)
    assert [row["run"] for row in run.read_status().result["rows"]] == [whole.id]
    left_out = [text for text in list_warnings(run) if "is left out" in text]
    assert [text.partition(" is left out: ")[0] for text in left_out] == [one.id for one in damaged[:3]]
    assert all(f"{one.folder}/" in text for one, text in zip(damaged, left_out, strict=False))
    assert set(every["runs"]) - {one.id for one in damaged[1:3]} == {*(one.id for one in runs), whole.id}
    assert {note.text.partition(" is left out: ")[0] for note in notes} == {damaged[0].id, *UNREADABLE}


def copy_run(run, name):
    folder = run.folder.with_name(name)
    shutil.copytree(run.folder, folder)
    return find_run(run.workspace, name)


def test_each_table_has_intervals_and_pictures(runs):
    run = compared(runs)
    for drawn in of_kind(run, IntervalChart):
        assert all(low <= value <= high for _, value, low, high in drawn.rows)
        assert drawn.mark == 0.5
    for picture in of_kind(run, Picture):
        path = run.workspace.root / picture.path
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_every_table_is_exported_and_the_files_agree_with_the_result(runs):
    run = compared(runs)
    result, folder = run.read_status().result, run.figures_folder
    (ranked,) = (file for file in folder.glob("comparison-?.json") if len(read_json(file)["rows"]) == 2)
    seeds, together = read_json(ranked)["rows"]
    assert [seeds, together] == [row for row in result["models"] if row["protocol"] == seeds["protocol"]]
    assert (seeds["rank"], together["rank"]) == (1, None)
    assert seeds["seeds"] == [7, 8]
    assert seeds["epochs"] == [1, 1]
    assert seeds["gpu_memory_gib"] is None, "these runs had no GPU"
    for ending in ("csv", "md", "tex"):
        assert "MammoCNN" not in ranked.with_suffix(f".{ending}").read_text()
        assert "ResNet18" in ranked.with_suffix(f".{ending}").read_text()
    written = {run.workspace.root / output["path"] for output in run.read_status().outputs}
    assert written == set(folder.iterdir())


def test_the_table_fits_80_columns_with_its_outcome_in_a_sentence(runs):
    run = compared(runs[2:])
    (table,) = (table for table in of_kind(run, Table) if table.title == "Comparison")
    (result,) = of_kind(run, Result)
    assert isinstance(run.read_events()[1], Progress), "it says at once what it does"
    assert result.summary.startswith("ResNet18_CFT is the only model that was tested this way.")
    console = create_console(width=80, file=io.StringIO())
    console.print(draw_event(table, console))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("ResNet18_CFT" in line and "0." in line for line in lines), "in one line, not stacked"


def test_mixed_protocols_are_pointed_out(runs):
    assert any("2 protocols" in text for text in list_warnings(compared(runs)))


def test_a_row_describes_the_model(runs):
    (row,) = compared(runs[2:]).read_status().result["rows"]
    assert row["weights"] == "none: from scratch"
    assert row["parameters"] == 372_497
    assert row["minutes"] > 0
    assert not row["synthetic"]


def test_no_runs_to_compare_gives_a_hint(workspace):
    with pytest.raises(SettingsError, match="runs"):
        find_or_create_job(workspace, "compare", {})
