"""TensorBoard gets each metric of a run once, with its epoch and time."""

import json

import pytest

from tfm.commands.train import Train
from tfm.core.events import Metrics, StateChange
from tfm.core.registry import find_stage
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_run
from tfm.core.runs.run import Run
from tfm.core.runs.worker import execute_run


def trained(workspace, seed, told):
    """A complete train run that has events and nothing else."""
    run = find_or_create_run(workspace, find_stage("train"), Train(dataset="d", cache="c", seed=seed), None)
    assert isinstance(run, Run)
    with run.open_event_log():
        for event in told:
            run.record(event)
    run.update(state="done")
    return run


@pytest.fixture
def products(workspace):
    for kind, name in (("dataset", "d"), ("cache", "c")):
        folder = workspace.product_folder(kind, name)
        folder.mkdir(parents=True)
        for file in (".arrangement", "manifest.csv", "index.csv", "settings.yaml"):
            (folder / file).touch()


def epoch(number, loss):
    return Metrics({"epoch": number, "val_loss": loss, "val_auc": 1 - loss})


def shown(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(one.step, one.wall_time, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }


def test_each_metric_is_a_curve_without_repeated_points(workspace, products):
    resumed = StateChange("running")
    first = trained(workspace, 1, [epoch(1, 0.5), epoch(2, 0.75), epoch(3, 0.125), resumed, epoch(2, 0.25)])
    second = trained(workspace, 2, [epoch(1, 0.5)])
    run = find_or_create_job(workspace, "tensorboard", {})
    assert execute_run(run, stopping=run) == "done", run.read_status().message
    assert sorted(run.read_settings()["runs"]) == sorted([first.id, second.id]), "none named: all"
    curves = shown(run.folder / "tensorboard" / first.id)
    log = (first.folder / "events.jsonl").read_text().splitlines()
    first_told, last_told = (json.loads(log[line])["time"] for line in (0, 4))
    assert curves == {
        "val_loss": [(1, first_told, 0.5), (2, last_told, 0.25)],
        "val_auc": [(1, first_told, 0.5), (2, last_told, 0.75)],
    }
    assert len(shown(run.folder / "tensorboard" / second.id)) == 2
    assert not (first.folder / "tensorboard").exists(), "a run's folder has one writer"
    assert run.has_intact_outputs()


def test_a_run_without_epochs_has_curves_over_its_rows(workspace, products):
    tried = [Metrics({"C": penalty, "val_auc": value}) for penalty, value in ((1e-5, 0.5), (0.1, 0.75), (10.0, 0.25))]
    told = trained(workspace, 1, tried + tried)
    run = find_or_create_job(workspace, "tensorboard", {"runs": [told.id]})
    assert execute_run(run, stopping=run) == "done", run.read_status().message
    curves = shown(run.folder / "tensorboard" / told.id)
    assert [(step, value) for step, _, value in curves["val_auc"]] == [(1, 0.5), (2, 0.75), (3, 0.25)]
    assert [value for _, _, value in curves["C"]] == pytest.approx([1e-5, 0.1, 10])


def test_a_resumed_export_shows_nothing_twice(workspace, products):
    told = trained(workspace, 1, [epoch(1, 0.5)])
    run = find_or_create_job(workspace, "tensorboard", {"runs": [told.id]})
    for _ in range(2):
        assert execute_run(run, stopping=run) == "done", run.read_status().message
        run.update(state="halted")
    assert len(list((run.folder / "tensorboard" / told.id).iterdir())) == 1


def test_a_run_without_metrics_is_refused_by_name(workspace, products):
    silent = trained(workspace, 1, [])
    run = find_or_create_job(workspace, "tensorboard", {"runs": [silent.id]})
    assert execute_run(run, stopping=run) == "failed"
    assert silent.id in run.read_status().message
