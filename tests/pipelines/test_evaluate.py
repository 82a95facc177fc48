"""Evaluation reads the predictions of a train run, states their protocol, and writes to its own run."""

import shutil

import pandas as pd
import pytest
from sklearn import metrics

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tfm.analysis.calibration import fit_temperature, scale_probabilities
from tfm.analysis.evaluated_run import evaluate_run
from tfm.analysis.evaluation import METRICS
from tfm.analysis.evaluation_tables import tabulate_metrics
from tfm.analysis.predictions import read_predictions
from tfm.analysis.threshold import choose_threshold
from tfm.analysis.units import group_by_unit
from tfm.core import files
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note, Picture, Table
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

TINY = {"architecture": "test_resnet", "epochs": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("evaluate") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY))


@pytest.fixture(scope="module")
def evaluation(trained):
    return evaluate(trained)


def evaluate(*runs):
    return finish_run(find_or_create_job(runs[0].workspace, "evaluate", {"runs": [run.id for run in runs]}))


def read_rows(evaluation):
    return {(row["split"], row["unit"]): row for row in evaluation.read_status().result["rows"]}


def list_tables(evaluation):
    return [event for event in evaluation.read_events() if isinstance(event, Table)]


def test_metrics_state_their_protocol_and_that_images_are_synthetic(evaluation):
    test, validation = (table for table in list_tables(evaluation) if table.columns[0].startswith("metric"))
    for table in (test, validation):
        assert table.columns[1:] == ["per image", "per breast", "per patient"]
        assert [row[0] for row in table.rows] == list(METRICS.values())
        assert "say nothing about performance on real mammograms" in table.caption
    assert "test, per image: 20 images (10 malignant) of 10 patients" in test.caption
    assert "test, per breast: 10 breasts" in test.caption
    assert "chosen on these images, so the metrics are too high" in validation.caption


@pytest.mark.parametrize(("unit", "count"), [("image", 20), ("breast", 10), ("patient", 10)])
def test_each_unit_has_a_threshold_of_its_own_from_validation(trained, evaluation, unit, count):
    validation = group_by_unit(read_predictions(trained.predictions_file("val")), unit)
    labels, probs = (validation[name].to_numpy() for name in ("label", "prob"))
    rows = read_rows(evaluation)
    for split in ("test", "val"):
        row = rows[split, unit]
        assert row["threshold"] == choose_threshold(row["threshold_rule"], labels, probs)
        assert row["temperature"] == fit_temperature(labels, probs)
        assert row["tp"] + row["fn"] + row["fp"] + row["tn"] == row["n_units"]
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    assert (rows["test", unit]["n_units"], rows["test", unit]["n_images"]) == (count, 20)


def test_every_metric_is_recomputed_from_the_stored_predictions(trained, evaluation):
    row = read_rows(evaluation)["test", "image"]
    table = read_predictions(trained.predictions_file("test"))
    labels, probs = table["label"], table["prob"]
    called = probs >= row["threshold"]
    expected = {
        "auc": metrics.roc_auc_score(labels, probs),
        "average_precision": metrics.average_precision_score(labels, probs),
        "partial_auc": metrics.roc_auc_score(labels, probs, max_fpr=0.1),
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(1 - labels, ~called),
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "f1": metrics.f1_score(labels, called),
        "brier": metrics.brier_score_loss(labels, probs),
        "brier_calibrated": metrics.brier_score_loss(labels, scale_probabilities(probs, row["temperature"])),
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_figures_and_tables_are_files_of_the_evaluation_alone(trained, evaluation):
    names = ["roc", "precision-recall", "reliability", "confusion", "scores", "learning-curves"]
    pictures = [event for event in evaluation.read_events() if isinstance(event, Picture)]
    assert [evaluation.workspace.root / picture.path for picture in pictures] == [
        evaluation.folder / "figures" / f"{name}.png" for name in names
    ]
    for name in names:
        assert (evaluation.folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (evaluation.folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (evaluation.folder / "tables" / "metrics-test.tex").is_file()
    assert files.read_json(evaluation.folder / "metrics.json") == evaluation.read_status().result
    assert not (trained.folder / "figures").exists()


@pytest.mark.long
def test_several_runs_have_figures_of_their_own_and_one_of_all(trained):
    other = finish_run(make_train_run(trained.workspace, "MammoCNN", epochs=1))
    together = evaluate(trained, other)
    for run in (trained, other):
        assert (together.folder / "figures" / run.id / "roc.png").is_file()
    assert (together.folder / "figures" / "roc.pdf").is_file()
    assert "of 2 models" in [event for event in together.read_events() if isinstance(event, Picture)][-1].title
    assert {row["trained"] for row in together.read_status().result["rows"]} == {trained.id, other.id}


def test_without_a_subgroup_of_enough_patients_one_line_stands_for_table_and_figure(evaluation):
    assert not any("subgroups" in table.title for table in list_tables(evaluation))
    assert not (evaluation.folder / "tables" / "subgroups.csv").exists()
    notes = [event.text for event in evaluation.read_events() if isinstance(event, Note)]
    assert [text for text in notes if "subgroup" in text] == [
        "ResNet18_CFT: left out: metrics of subgroups: no class of a subgroup has 10 patients"
    ]


def test_small_subgroups_have_counts_but_no_metrics(evaluation):
    views = [row for row in evaluation.read_status().result["subgroups"] if row["grouping"] == "view"]
    assert [(row["value"], row["images"], row["malignant"], row["patients"]) for row in views] == [
        ("CC", 10, 5, 10),
        ("MLO", 10, 5, 10),
    ]
    assert all(row["auc"] is None for row in views)


def test_an_incomplete_run_is_refused(trained, evaluation):
    with pytest.raises(SettingsError, match="is a run of evaluate"):
        find_or_create_job(trained.workspace, "evaluate", {"runs": [evaluation.id]})
    waiting = make_train_run(trained.workspace, "ResNet18_CFT", **TINY, seed=99)
    with pytest.raises(SettingsError, match="waiting"):
        find_or_create_job(trained.workspace, "evaluate", {"runs": [waiting.id]})


def test_changed_predictions_are_refused(workspace):
    make_small_dataset(workspace)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY))
    path = run.predictions_file("test")
    path.write_text(path.read_text().replace(",0,", ",1,"))
    evaluation = find_or_create_job(workspace, "evaluate", {"runs": [run.id]})
    assert worker.execute_run(evaluation, stopping=evaluation) == "failed"
    assert "missing or changed" in evaluation.read_status().message


@pytest.fixture
def copied(trained, workspace):
    """The same run in a workspace of its own, with its dataset."""
    shutil.copytree(trained.workspace.dataset_folder("pocket"), workspace.dataset_folder("pocket"))
    shutil.copytree(trained.folder, workspace.runs_folder / trained.id)
    return Run(workspace.runs_folder / trained.id, workspace)


def change_predictions(run: Run, split: str, change) -> None:
    """Rewrite predictions, and record them as the run's own."""
    path = run.predictions_file(split)
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False, lineterminator="\n")
    paths = [str(run.workspace.root / output["path"]) for output in run.read_status().outputs]
    run.update(outputs=run.describe_outputs(paths))


def test_without_its_dataset_what_needs_it_is_left_out_and_named(copied):
    shutil.rmtree(copied.workspace.dataset_folder("pocket"))
    evaluated = evaluate_run(copied)
    text, small = evaluated.left_out
    assert small.startswith("metrics of subgroups")
    assert text.startswith("subgroups by kind, density, assessment, subtlety")
    assert {one.grouping for one in evaluated.subgroups} == {"view"}


def test_a_changed_dataset_counts_as_missing(copied):
    rewrite_manifest(copied.workspace, lambda manifest: manifest.assign(density="3"))
    text, _ = evaluate_run(copied).left_out
    assert "has changed since" in text


def test_test_images_of_one_class_have_no_auc(copied):
    def keep_malignant(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["label"] == "1"]

    change_predictions(copied, "test", keep_malignant)
    evaluated = evaluate_run(copied)
    table = tabulate_metrics(evaluated, "test", "Net")
    cells = dict(row[:2] for row in table.rows)
    assert cells["AUC"] == cells["specificity"] == cells["average precision"] == "–"
    assert cells["sensitivity"] != "–"
    assert [text.split(":")[0] for text in evaluated.left_out] == [
        *("metrics per breast", "metrics per patient"),
        *("AUC, ROC and precision-recall curves", "metrics of subgroups"),
    ]


def test_equal_probabilities_have_an_auc_of_one_half(copied):
    for split in ("val", "test"):
        change_predictions(copied, split, lambda table: table.assign(prob="0.5"))
    metrics = evaluate_run(copied).evaluations["test"]["image"].metrics
    assert metrics["auc"].value == metrics["partial_auc"].value == 0.5
    assert metrics["sensitivity_at_90_specificity"].value == 0


def test_predictions_of_other_images_than_the_splits_are_refused(copied):
    validation = pd.read_csv(copied.predictions_file("val"), dtype=str)
    change_predictions(copied, "test", lambda table: pd.concat([table, validation.iloc[:1]]))
    with pytest.raises(DataError, match="1 images that are not in the test split"):
        evaluate_run(copied)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prob": "1.2"}, "probability outside 0 to 1"),
        ({"prob": "nan"}, "probability outside 0 to 1"),
        ({"prob": "high"}, "cannot be read"),
        ({"label": "2"}, "label other than 0 and 1"),
        ({"image_id": "P_00001_LEFT_CC"}, "predicted twice"),
    ],
)
def test_impossible_predictions_are_refused(copied, change, words):
    change_predictions(copied, "test", lambda table: table.assign(**change))
    with pytest.raises(DataError, match=words) as refused:
        evaluate_run(copied)
    assert "repeat the run" in refused.value.hint


def test_a_model_that_did_not_train_is_named_with_what_to_do(copied):
    probs = {"val": "0.50002", "test": "0.50003"}
    for split, prob in probs.items():
        change_predictions(copied, split, lambda table, prob=prob: table.assign(prob=prob))
    for command in ("evaluate", "compare"):
        run = finish_run(find_or_create_job(copied.workspace, command, {"runs": [copied.id]}))
        warnings = [event.text for event in run.read_events() if isinstance(event, Note) and event.level == "warning"]
        (text,) = (text for text in warnings if "nearly the same probability" in text)
        assert text.startswith("ResNet18_CFT gives all images")
        assert "0.50002 to 0.50003" in text
        assert "Train it longer or with another learning rate" in text
