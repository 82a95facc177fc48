"""Words that make a queue of runs, and runs that are taken further: each run is one that could have been asked for."""

from dataclasses import replace

import pytest
import yaml

from tests.toy_jobs import finish
from tests.toys import learn as toy
from tfm.core import command_list, registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.plan import Plan
from tfm.core.runs.queue import build_queue
from tfm.core.runs.restart import extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.settings import presets as offers

TOY = "learn"


def steps(workspace, presets=(), **words):
    plan = find_or_create_job(workspace, TOY, words, presets)
    assert isinstance(plan, Plan)
    return plan.read_steps()


@pytest.fixture
def classes(tmp_path, monkeypatch):
    """The toy with presets of its own, one of which starts another stage."""
    folder = tmp_path / "configs" / "classes"
    folder.mkdir(parents=True)
    for name, stage in (("Latin", TOY), ("Greek", TOY), ("Counting", "count")):
        preset = {"title": name, "about": name, "stage": stage, "settings": {}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(preset))
    monkeypatch.setattr(offers, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(toy, "COMMAND", replace(toy.COMMAND, presets="classes"))


def test_each_model_runs_for_each_fold_and_each_seed(workspace, classes):
    found = steps(workspace, ["Latin", "Greek"], folds="3", seeds="2")
    assert [step.name for step in found] == [
        f"{model}-fold{fold}-seed{seed}" for model in ("Latin", "Greek") for fold in (1, 2, 3) for seed in (7, 8)
    ]
    assert [(step.settings["fold"], step.settings["seed"]) for step in found[:2]] == [(1, 7), (1, 8)]
    assert {step.preset for step in found} == {"Latin", "Greek"}


def test_a_word_said_once_is_no_queue_and_stands_in_no_name(workspace, classes):
    assert isinstance(find_or_create_job(workspace, TOY, {"seeds": 1}, ["Latin"]), Run)
    assert [step.name for step in steps(workspace, ["Latin", "Greek"], seeds=1)] == ["Latin", "Greek"]
    assert [step.name for step in steps(workspace, ["Latin"], folds=2)] == ["Latin-fold1", "Latin-fold2"]


def test_the_seeds_are_counted_up_from_the_one_that_is_given(workspace):
    found = steps(workspace, seeds=3, seed="40", epochs="2")
    assert [step.settings["seed"] for step in found] == [40, 41, 42]
    assert [step.name for step in found] == [f"learn-seed{seed}" for seed in (40, 41, 42)]
    assert {step.settings["epochs"] for step in found} == {2}


def test_a_queue_of_seeds_shares_its_runs_with_those_that_were_started_by_themselves(workspace):
    alone = find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seed": 8})
    finish(alone)
    plan = find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seeds": 2})
    finish(plan)
    assert plan.read_status().state == "done", plan.read_status().message
    assert list(plan.read_status().runs) == ["learn-seed7", "learn-seed8"]
    assert plan.read_status().runs["learn-seed8"] == alone.id
    assert find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seeds": 2}).id == plan.id, (
        "to start it again is to resume"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"folds": 4}, "4 folds starting at 1 are too many"),
        ({"folds": 2, "fold": 3}, "2 folds starting at 3 are too many"),
        ({"fold": 4}, "fold: 4 is too high"),
        ({"seeds": "0"}, "seeds: must be"),
        ({"seeds": "many"}, "seeds: must be a whole number"),
        ({"sedes": 2}, "sedes"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_before_anything_is_made(workspace, words, says):
    with pytest.raises(SettingsError) as refused:
        find_or_create_job(workspace, TOY, words)
    assert says in refused.value.message
    assert not workspace.root.exists()


def test_what_starts_another_stage_knows_the_words_of_that_stage_only(workspace, classes):
    with pytest.raises(SettingsError, match="Counting cannot be repeated by seeds"):
        find_or_create_job(workspace, TOY, {"seeds": 2}, ["Counting"])


def test_what_repeats_and_what_grows_are_settings_of_their_stage():
    for name in command_list.list_commands():
        found = registry.find_command(name)
        names = [field.name for field in found.list_fields()]
        assert len(names) == len(set(names))
        assert {repeat.setting for repeat in found.repeats} <= set(names)
        if isinstance(found, registry.Stage) and found.extends_by:
            assert found.extends_by in names


def test_an_extended_run_goes_on_from_where_the_old_one_ended(workspace):
    old = find_or_create_job(workspace, TOY, {"epochs": 3, "pages": 2})
    finish(old)
    before = (old.folder / "settings.yaml").read_bytes(), old.read_status()
    new = extend_run(old, "5")
    finish(new)
    assert new.id != old.id
    assert new.read_settings()["extends"] == old.id
    assert new.read_status().result["epochs"] == 5
    rows = [
        event.values["epoch"] for event in new.read_events() if hasattr(event, "values") and "epoch" in event.values
    ]
    assert rows == [4, 5], "what was learned is not learned again"
    assert ((old.folder / "settings.yaml").read_bytes(), old.read_status()) == before, "the old one stays as it is"
    assert extend_run(old, 5).id == new.id, "the same extension is the same run"
    assert restart_run(new).id != new.id, "restart always makes a new one"
    assert extend_run(new, 7).read_settings()["extends"] == new.id


@pytest.mark.parametrize(("total", "says"), [("3", "already started with 3 epochs"), ("far", "whole number")])
def test_an_extension_needs_a_higher_total(workspace, total, says):
    old = find_or_create_job(workspace, TOY, {"epochs": 3, "pages": 1})
    finish(old)
    with pytest.raises(SettingsError, match=says):
        extend_run(old, total)


def test_only_what_is_done_can_be_extended_and_only_where_something_grows(workspace):
    unfinished = find_or_create_job(workspace, TOY, {"epochs": 3})
    with pytest.raises(SettingsError, match="no results yet"):
        extend_run(unfinished, 5)
    count = find_or_create_job(workspace, "count", {"target": 3})
    assert find_extensible_field(count) is None
    with pytest.raises(RunError, match="cannot be extended"):
        extend_run(count, 5)


def test_a_queue_is_told_before_it_is_made(workspace):
    assert [step.name for step in build_queue(workspace, TOY, {}, (), {"seeds": 2})] == ["learn-seed7", "learn-seed8"]
    assert not workspace.root.exists()
