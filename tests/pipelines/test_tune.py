"""A study: each trial is a run, a kill loses none, the winner is trained, and impossible searches are refused."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.mishaps import run_until_killed
from tests.training.small_dataset import finish_run, make_small_dataset, rewrite_manifest
from tests.training.studies import DIVERGING, QUICK, SPACE, collect_results, create_study_run, find_trial_runs
from tfm.commands.tune import Tune
from tfm.core import registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.events import StateChange, TableRow
from tfm.core.runs import lookup, worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.inputs import list_readable_runs
from tfm.core.runs.lookup import list_unused_runs, read_runs
from tfm.core.runs.restart_or_extend import extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.core.settings.resolve import resolve
from tfm.training.tune.study import Study

TRIALS, SEED = 3, 8
KILLED_AT = 6  # the checkpoint whose writing is interrupted: one of the second trial


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("tune") / "workspace")
    make_small_dataset(workspace)
    return finish_run(create_study_run(workspace, TRIALS, seed=SEED))


def test_each_trial_is_a_run_with_its_own_final_state(study):
    runs = find_trial_runs(study)
    assert len({run.id for run in runs}) == TRIALS
    assert {run.read_status().part_of for run in runs} == {study.id}
    for run in runs:
        assert run.read_stage() == "train"
        failed = run.read_settings()["optim"]["learning_rate"] == DIVERGING
        assert run.read_status().state in (["failed"] if failed else ["done", "pruned"])
    states = [run.read_status().state for run in runs]
    result = study.read_status().result
    assert result["failed"] == states.count("failed") > 0
    assert result["pruned"] == states.count("pruned")
    assert result["trials"] == TRIALS


def test_a_worse_trial_is_pruned_and_so_is_its_run(workspace, monkeypatch):
    make_small_dataset(workspace)
    monkeypatch.setattr(Study, "should_prune", lambda _study, number, _epoch, _best: number == 1)
    run = finish_run(create_study_run(workspace, 2, space=SPACE | {"learning_rate": [0.02]}))
    first, second = find_trial_runs(run)
    assert (first.read_status().state, second.read_status().state) == ("done", "pruned")
    assert len(second.metrics_file.read_text().splitlines()) == 2, "the header and one epoch"
    assert run.read_status().result["pruned"] == 1
    assert [event.state for event in second.read_events() if isinstance(event, StateChange)][-1] == "pruned"


def test_the_winner_is_best_on_validation_and_the_test_is_never_used(study):
    result, runs = study.read_status().result, find_trial_runs(study)
    done = [run.read_status().result["val_auc"] for run in runs if run.read_status().state == "done"]
    assert result["val_auc"] == pytest.approx(max(done), rel=1e-12)
    assert result["winner"]["learning_rate"] == runs[result["best_trial"]].read_settings()["optim"]["learning_rate"]
    assert not any(run.predictions_file("test").exists() for run in runs)
    assert not any(patient.startswith("P_test") for patient in study.read_environment()["patients_seen"])


def test_the_table_shows_the_final_state_of_each_trial(study):
    lines = {event.cells[0]: event for event in study.read_events() if isinstance(event, TableRow)}
    states = [lines[str(number)].cells[1] for number in range(TRIALS)]
    assert states == [run.read_status().state for run in find_trial_runs(study)]
    assert lines["0"].columns[:4] == ["trial", "state", "val AUC", "epochs"]
    assert "label smoothing" in lines["0"].columns
    assert "batch size" not in lines["0"].columns, "a fixed value is not listed"


def test_figures_are_written(study):
    names = {output["path"].rpartition("/")[2] for output in study.read_status().outputs}
    assert {"history.png", "parallel.png"} <= names
    assert study.has_intact_outputs()


def test_a_study_killed_in_the_middle_of_a_trial_ends_as_an_undisturbed_one(study, workspace):
    make_small_dataset(workspace)
    disturbed = create_study_run(workspace, TRIALS, seed=SEED)
    run_until_killed(disturbed, "in_the_middle_of_writing", KILLED_AT)
    assert "halted" in {run.read_status().state for run in find_trial_runs(disturbed)}
    finish_run(disturbed)
    assert collect_results(disturbed) == collect_results(study)


@pytest.mark.long
def test_the_number_of_trials_is_a_total(study):
    before = find_trial_runs(study)
    more = finish_run(create_study_run(study.workspace, TRIALS + 1, seed=SEED))
    assert [run.id for run in find_trial_runs(more)][:TRIALS] == [run.id for run in before]
    assert len(more.read_status().runs) == more.read_status().result["trials"] == TRIALS + 1
    assert len([run for run in lookup.list_runs(study.workspace) if run.read_status().part_of]) == TRIALS + 1


def test_trials_are_not_offered_for_a_comparison(study):
    field = next(field for field in registry.find_command("compare").list_fields() if field.name == "runs")
    assert not any(run.read_status().part_of for run in list_readable_runs(study.workspace, field))


def test_the_winner_is_trained_with_its_settings_and_has_seen_the_patients_of_the_study(study):
    assert study.id in {run.id for run in list_unused_runs(read_runs(study.workspace), "winner", "study")}
    machine = {name: QUICK[name] for name in ("device", "threads")}
    winner = finish_run(
        find_or_create_job(study.workspace, "train", {"study": study.id, "epochs": 1} | machine, ["ResNet18_CFT"])
    )
    chosen = study.read_status().result["winner"]
    assert winner.read_settings()["optim"]["learning_rate"] == chosen["learning_rate"]
    assert winner.read_settings()["optim"]["label_smoothing"] == chosen["label_smoothing"]
    assert winner.read_settings()["optim"]["epochs"] == 1
    assert set(study.read_environment()["patients_seen"]) <= set(winner.read_environment()["patients_seen"])
    assert winner.predictions_file("test").exists()
    assert study.id not in {run.id for run in list_unused_runs(read_runs(study.workspace), "winner", "study")}
    winner.update(state="failed")
    assert study.id in {run.id for run in list_unused_runs(read_runs(study.workspace), "winner", "study")}


def test_settings_found_by_the_study_cannot_be_changed(study):
    def winner(**given):
        return find_or_create_job(study.workspace, "train", {"study": study.id} | given, ["ResNet18_CFT"])

    found = study.read_status().result["winner"]
    with pytest.raises(SettingsError) as refusal:
        winner(learning_rate="0.1")
    assert refusal.value.fields == ("learning_rate",)
    assert f"learning-rate is 0.1, but {study.id} found {found['learning_rate']}" in refusal.value.message
    assert "without `setting: study`" in refusal.value.hint
    with pytest.raises(SettingsError, match="batch-size is 12"):
        winner(batch_size=12)
    same = winner(learning_rate=str(found["learning_rate"]))
    assert same.id == winner().id
    free = winner(epochs=3, tta=True, threshold="sensitivity:0.9", seed=5, device="cpu")
    assert free.read_settings()["optim"]["learning_rate"] == found["learning_rate"]


def test_a_trial_cannot_be_restarted_or_extended_alone(study):
    done = next(run for run in find_trial_runs(study) if run.read_status().state == "done")
    for anew in (lambda: restart_run(done), lambda: extend_run(done, 9)):
        with pytest.raises(RunError, match=f"belongs to {study.id}") as refusal:
            anew()
        assert f"runs restart {study.id}" in refusal.value.hint
    assert find_extensible_field(done) is None
    assert done.describe_restart() == study.describe_restart()


def test_a_winner_is_refused_if_the_study_has_seen_its_test_patients(study):
    make_small_dataset(study.workspace, "turned")

    def turned(manifest):
        others = manifest["patient_id"].str.replace("P_train", "Q_train").str.replace("P_val", "Q_val")
        return manifest.assign(patient_id=others.str.replace("P_test", "P_train"))

    rewrite_manifest(study.workspace, turned, "turned")
    given = {"study": study.id, "dataset": "turned", "cache": "turned", "epochs": 1, "device": "cpu"}
    run = find_or_create_job(study.workspace, "train", given, ["ResNet18_CFT"])
    assert worker.execute_run(run, stopping=run) == "failed"
    assert f"the trials of {study.id} have seen 10 of the 10 test patients" in run.read_status().message


def test_a_study_with_an_emptied_database_does_not_begin_anew(study, tmp_path):
    root = shutil.copytree(study.workspace.root, tmp_path / "workspace")
    run = Run(root / "runs" / study.id, Workspace(root))
    run.study_file.write_bytes(b"")
    run.update(state="halted")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert f"{TRIALS} were begun: it was emptied" in run.read_status().message


def test_a_study_whose_trials_all_fail_reports_the_reason(workspace):
    make_small_dataset(workspace)
    run = create_study_run(workspace, 1, space=SPACE | {"learning_rate": [DIVERGING]})
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "none of the 1 trials" in run.read_status().message
    assert "not a finite number" in run.read_status().message


def test_a_model_that_trains_no_layer_cannot_be_searched(study):
    run = create_study_run(study.workspace, 1, model="ResNet18_OPW", space={"dropout": [0.1, 0.2]})
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "trains no layer" in run.read_status().message


NAMES = {"dataset": "pocket", "cache": "pocket"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "the space to search is empty"),
        ({"lerning_rate": [1]}, "names lerning_rate"),
        ({"epochs": [1, 2]}, "names epochs"),
        ({"device": ["cpu"]}, "names device"),
        ({"learning_rate": {"low": 0.1, "high": 0.1}}, "empty: from 0.1 to 0.1"),
        ({"learning_rate": {"low": 0, "high": 0.1}}, "holds 0 for learning_rate"),
        ({"dropout": {"low": 0, "high": 0.5, "log": True}}, "cannot be logarithmic"),
        ({"dropout": {"low": 0, "high": 1.5}}, "holds 1.5 for dropout"),
        ({"dropout": {"low": 0, "hihg": 0.5}}, "hihg"),
        ({"dropout": {"low": 0}}, "the range of dropout has no high"),
        ({"batch_size": {"low": 2, "high": 9, "log": "yess"}}, "log: yess"),
        ({"dropout": {"low": 0, "high": 0.5, "step": 0.7}}, "step of 0.7"),
        ({"patience": {"low": 1, "high": 5, "step": 0.5}}, "step of 0.5"),
        ({"optimizer": {"low": 1, "high": 2}}, "holds 1 for optimizer"),
        ({"optimizer": ["adamw", "magic"]}, "holds magic for optimizer"),
        ({"optimizer": []}, "no values for optimizer"),
        ({"optimizer": "adamw"}, "no values for optimizer"),
        ({"trained": ["none", "all"]}, "trained: none"),
    ],
)
def test_an_invalid_space_is_refused_before_the_start(wrong, said):
    with pytest.raises(SettingsError) as refusal:
        resolve(Tune, {}, NAMES | {"space": wrong})
    assert said in refusal.value.message
    assert refusal.value.fields == ("space",)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"lerning_rate": [1]}, "did you mean learning_rate?"),
        ({"dropout": {"low": 0, "hihg": 0.5}}, "did you mean high?"),
        ({"epochs": [1, 2]}, "`setting: max_epochs`"),
        ({"cache": ["one", "two"]}, "`setting: caches="),
        ({"device": ["cpu"]}, "outside the space: `setting: device`"),
        ({"learning_rate": {"low": 0, "high": 0.1}}, "`setting: learning_rate`"),
        ({"optimizer": ["adamw", "magic"]}, "adamw, adam, sgd"),
    ],
)
def test_a_refused_space_comes_with_a_hint(wrong, hint):
    with pytest.raises(SettingsError) as refusal:
        resolve(Tune, {}, NAMES | {"space": wrong})
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"min_epochs": 5, "max_epochs": 5}, ("min_epochs", "max_epochs")),
        ({"worker": 2}, ("storage",)),
        ({"storage": "study.db"}, ("storage",)),
        ({"storage": "sqlite://"}, ("storage",)),
        ({"storage": "sqlite:///:memory:"}, ("storage",)),
        ({"storage": "sqlite:///file:study?mode=memory&uri=true"}, ("storage",)),
        ({"trials": 0}, ("trials",)),
    ],
)
def test_contradicting_settings_are_refused_by_name(wrong, fields):
    with pytest.raises(SettingsError) as refusal:
        resolve(Tune, {}, NAMES | {"space": SPACE} | wrong)
    assert refusal.value.fields == fields


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://anna:secret@host:5432/studies", "postgresql://anna@host:5432/studies"),
        ("mysql+pymysql://anna:sec:re@t@host/studies", "mysql+pymysql://anna@host/studies"),
        ("postgresql://host/studies?user=anna&password=secret", "postgresql://host/studies?user=anna"),
        ("postgresql://anna:se/cret@host/studies", "postgresql://anna@host/studies"),
        ("postgresql://anna:se?cret@host/studies", "postgresql://anna@host/studies"),
        ("postgresql://anna:se#cret@host/studies", "postgresql://anna@host/studies"),
        ("postgresql://anna@uni.org:secret@host/studies", "postgresql://anna@uni.org@host/studies"),
        ("postgresql://host/studies?sslpassword=secret&user=anna", "postgresql://host/studies?user=anna"),
        ("postgresql://host:1/studies?user=anna&PASSWORD=se@cret&a=b", "postgresql://host@&a=b"),
        ("postgresql://anna@host/studies", "postgresql://anna@host/studies"),
        ("postgresql://anna@[::1]:5432/studies?a=b", "postgresql://anna@[::1]:5432/studies?a=b"),
        ("sqlite:////a/study.db", "sqlite:////a/study.db"),
    ],
)
def test_a_password_is_stripped_from_an_address(given, kept):
    assert resolve(Tune, {}, NAMES | {"space": SPACE, "storage": given}).storage == kept


@pytest.mark.parametrize(
    "given",
    [
        "postgresql//anna:secret@host/studies",
        "postgresql:/anna:secret@host/studies",
        "postgresql/anna:secret@host",
        "anna:secret@host",
        "host=host user=anna password = secret",
    ],
)
def test_a_refused_address_is_shown_without_its_password(given):
    with pytest.raises(SettingsError) as refusal:
        resolve(Tune, {}, NAMES | {"space": SPACE, "storage": given})
    assert "secret" not in refusal.value.message + refusal.value.hint
    assert "host" in refusal.value.message, "the rest is shown"


def test_a_password_is_never_written(study):
    address = "postgresql://anna:secret@127.0.0.1:1/studies"
    run = create_study_run(study.workspace, 1, storage=address)
    assert worker.execute_run(run, stopping=run) == "failed"
    texts = [path.read_text(encoding="utf-8") for path in run.folder.iterdir() if path.is_file()]
    assert any("anna@127.0.0.1" in text for text in texts)
    assert not any("secret" in text for text in texts)


@pytest.mark.parametrize("name", presets.list_presets("tune"))
def test_every_shipped_space_is_valid(name):
    preset = presets.load_preset("tune", name)
    assert preset.stage == "tune"
    assert resolve(Tune, preset.settings, NAMES).space


def test_a_study_and_its_winner_are_one_plan(study):
    machine = {name: QUICK[name] for name in ("device", "threads")}
    plan = find_or_create_job(study.workspace, "train", NAMES | {"trials": 3} | machine, ["EfficientNetB3_Optuna"])
    first, second = plan.read_steps()
    assert (first.stage, first.preset, first.settings["trials"]) == ("tune", "EfficientNetB3", 3)
    assert (second.stage, second.preset, second.settings["study"]) == ("train", "EfficientNetB3_CFT", "@study.run")
    queue = find_or_create_job(study.workspace, "train", NAMES | machine, ["EfficientNetB3_Optuna", "MammoCNN"])
    names = ["EfficientNetB3_Optuna/study", "EfficientNetB3_Optuna/winner", "MammoCNN"]
    assert [step.name for step in queue.read_steps()] == names
    assert queue.read_steps()[1].settings["study"] == "@EfficientNetB3_Optuna/study.run"
