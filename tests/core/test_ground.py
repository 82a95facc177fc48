"""The ground floor: whole files, addressed randomness, errors in words, what a workspace knows."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tfm.core import files, randomness
from tfm.core.errors import DiskError, RunError, SettingsError, TFMError, translate_error
from tfm.core.events import CurrentValues, Metrics, Note, Picture, Progress, Result, Table, parse_record, to_record
from tfm.core.runs.inputs import complete_values
from tfm.core.runs.keys import compute_key
from tfm.core.runs.launch import find_or_create_job, find_or_create_plan
from tfm.core.runs.lookup import find_run, list_runs
from tfm.core.runs.plan import Step, fill_references
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import Settings
from tfm.ui.run_view import RunView
from tfm.ui.saved_answers import SavedAnswers


def fail_midway(target):
    with files.write_atomically(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_a_file_is_whole_or_as_it_was(tmp_path):
    target = tmp_path / "a.json"
    files.write_json(target, {"n": 1})
    with pytest.raises(ZeroDivisionError):
        fail_midway(target)
    assert files.read_json(target) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_writer_killed_midway_leaves_the_old_file_and_a_leftover_that_is_swept(tmp_path):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    script = f"""
import os, signal, pathlib
from tfm.core import files
with files.write_atomically(pathlib.Path({str(target)!r})) as temporary:
    temporary.write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_address_gives_the_same_numbers_in_any_process_and_another_address_others():
    here = randomness.seed_at(7, "order", 3)
    code = "from tfm.core.randomness import seed_at; print(seed_at(7, 'order', 3))"
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "5"},
    )
    assert int(there.stdout) == here
    assert (
        len(
            {
                here,
                randomness.seed_at(7, "order", 4),
                randomness.seed_at("7", "order", 3),
                randomness.seed_at(8, "order", 3),
            }
        )
        == 4
    )
    assert randomness.generator_at(7, "a").random() == randomness.generator_at(7, "a").random()


def test_a_full_disk_is_told_in_words_and_a_defect_with_its_log(tmp_path):
    full = translate_error(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert isinstance(full, DiskError)
    assert "free some space" in full.hint
    log = tmp_path / "log.txt"
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        defect = translate_error(error, log)
    assert str(log) in defect.hint
    assert "Traceback" in log.read_text()
    mine = TFMError("a", hint="b")
    assert translate_error(mine) is mine


@pytest.mark.parametrize(
    "event",
    [
        Progress("step", 1, 2, "images"),
        Metrics({"epoch": 1, "loss": 0.5}),
        CurrentValues({"images/s": "40"}),
        Note("x", "warning"),
        Table("t", ["a"], [["1"]]),
        Picture("/sheet.png", "Sheet", ["00ff", "ff00"]),
        Result({"a": 1}, ["p"]),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_survives_its_log(event):
    assert parse_record(to_record(event, 1.0)) == event


def test_a_picture_in_a_log_from_before_thumbnails_is_read():
    record = {"time": 1.0, "kind": "picture", "path": "/roc.png", "title": "ROC"}
    assert parse_record(record) == Picture("/roc.png", "ROC")


def test_a_view_of_a_resumed_run_shows_each_epoch_once(workspace):
    from tfm.core.events import StateChange

    run = find_or_create_job(workspace, "count", {"target": 3})
    assert isinstance(run, Run)
    with run.open_event_log():
        for event in (StateChange("running"), *(Metrics({"epoch": n, "loss": 1.0 / n}) for n in (1, 2, 3))):
            run.record(event)
        run.record(StateChange("running"))
        run.record(Metrics({"epoch": 3, "loss": 0.25}))
    view = RunView(run)
    view.read_new_events()
    assert view.metrics == {"epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.25]}


def test_a_gauge_replaces_what_it_said_before_and_a_run_taken_up_anew_says_all_again(workspace):
    from tfm.core.events import StateChange

    run = find_or_create_job(workspace, "count", {"target": 3})
    assert isinstance(run, Run)
    view = RunView(run)
    with run.open_event_log():
        run.record(CurrentValues({"images/s": "40", "GPU memory": "3.1 GiB"}))
        run.record(CurrentValues({"images/s": "52"}))
        view.read_new_events()
        assert view.gauges == {"images/s": "52", "GPU memory": "3.1 GiB"}
        run.record(StateChange("running"))
        view.read_new_events()
    assert view.gauges == {}, "another device may have it now"


def test_a_step_may_name_only_results_of_steps_before_it(workspace):
    with pytest.raises(SettingsError, match="step a needs the result of b"):
        find_or_create_plan(workspace, "x", [Step("a", "t", {"runs": ["@b.run"]}), Step("b", "t")])
    with pytest.raises(SettingsError, match="two steps"):
        find_or_create_plan(workspace, "x", [Step("a", "t"), Step("a", "t")])
    assert not workspace.root.exists(), "nothing is made of a plan that is wrong"


def test_references_are_filled_wherever_they_stand():
    settings = {"runs": ["@a.run", "@b.run"], "deep": {"x": "@a.sum"}, "plain": 3}
    results = {"a": {"run": "r1", "sum": 5}, "b": {"run": "r2"}}
    assert fill_references(settings, results) == {"runs": ["r1", "r2"], "deep": {"x": 5}, "plain": 3}
    with pytest.raises(SettingsError, match="has no"):
        fill_references({"x": "@b.sum"}, results)


def test_a_part_of_a_name_finds_the_one_run_and_never_guesses(workspace):
    first = find_or_create_job(workspace, "count", {"target": 3})
    second = find_or_create_job(workspace, "count", {"target": 4})
    assert find_run(workspace, first.id[-6:]).id == first.id
    with pytest.raises(RunError, match="matches 2 runs or plans"):
        find_run(workspace, "count")
    with pytest.raises(RunError, match="no run or plan called"):
        find_run(workspace, "absent")
    assert [run.id for run in list_runs(workspace)] == [first.id, second.id]


def test_the_only_dataset_is_meant_and_with_two_none_is_guessed(workspace):
    from tfm.core.registry import find_command

    preprocess = find_command("preprocess").settings
    with pytest.raises(SettingsError, match="there is no dataset"):
        complete_values(workspace, preprocess, {})
    for name in ("one", "two"):
        folder = workspace.dataset_folder(name)
        folder.mkdir(parents=True)
        (folder / "manifest.csv").write_text("x")
        if name == "one":
            assert complete_values(workspace, preprocess, {})["dataset"] == "one"
    with pytest.raises(SettingsError, match="several datasets: one, two"):
        complete_values(workspace, preprocess, {})


def test_answers_are_kept_per_stage_and_preset_and_a_damaged_file_loses_only_them(tmp_path):
    answers = SavedAnswers(tmp_path / "w" / "answers.yaml")
    answers.save("train", ("A",), {})
    assert not answers.file.exists(), "looking makes nothing"
    answers.save("train", ("A",), {"learning_rate": 0.1})
    answers.save("train", ("B",), {"learning_rate": 0.2})
    assert answers.load("train", ("A",)) == {"learning_rate": 0.1}
    assert answers.load("organize", ()) == {}
    answers.file.write_text("{ not yaml")
    assert answers.load("train", ("A",)) == {}


def test_a_workspace_that_cannot_be_made_is_told_and_nothing_is_made(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError):
        find_or_create_job(Workspace(tmp_path / "file" / "workspace"), "count", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_order_of_a_mappings_steps_is_part_of_the_key(workspace):
    class Chain(Settings):
        steps: dict[str, int]

    forth, back = (resolve(Chain, {}, {"steps": steps}) for steps in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert compute_key(workspace, "x", 1, forth) != compute_key(workspace, "x", 1, back)
    assert compute_key(workspace, "x", 1, forth) != compute_key(workspace, "x", 2, forth)


def test_a_driver_that_breaks_or_hangs_is_none_to_use(tmp_path, monkeypatch):
    from tfm.core import machine

    driver = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "DRIVER_TIMEOUT_SECONDS", 0.2)
    for script in ("exit 9", "sleep 5", "echo 'GB10, [N/A]'"):
        driver.write_text(f"#!/bin/sh\n{script}\n")
        driver.chmod(0o755)
        machine.find_nvidia_gpus.cache_clear()
        assert machine.find_nvidia_gpus() == ()
    machine.find_nvidia_gpus.cache_clear()


def test_a_queue_keeps_what_was_meant_when_it_was_made(workspace):
    for kind, name in (("dataset", "d"), ("cache", "c")):
        folder = workspace.product_folder(kind, name)
        folder.mkdir(parents=True)
        for file in (".arrangement", "manifest.csv", "index.csv", "settings.yaml"):
            (folder / file).write_text("x")
    plan = find_or_create_job(workspace, "train", {"epochs": 2}, ["MammoCNN", "ResNet18_CFT"])
    assert [step.settings for step in plan.read_steps()] == [{"epochs": 2, "dataset": "d", "cache": "c"}] * 2
