"""A queue starts the runs that could also be started one by one."""

from dataclasses import replace

import pytest

from tests.toy_jobs import finish
from tests.toys import learn as toy
from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.events import Note
from tfm.core.runs.expand_repeats import build_queue
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.lookup import find_run
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.worker import execute_plan

TOY = "learn"


def steps(workspace, presets=(), **words):
    plan = find_or_create_job(workspace, TOY, words, presets)
    assert isinstance(plan, Plan)
    return plan.read_steps()


def test_each_model_runs_for_each_fold_and_each_seed(workspace, classes):
    found = steps(workspace, ["Latin", "Greek"], folds="3", seeds="2")
    assert [step.name for step in found] == [
        f"{model}-fold{fold}-seed{seed}" for model in ("Latin", "Greek") for fold in (1, 2, 3) for seed in (7, 8)
    ]
    assert [(step.settings["fold"], step.settings["seed"]) for step in found[:2]] == [(1, 7), (1, 8)]
    assert {step.preset for step in found} == {"Latin", "Greek"}


def test_a_count_of_one_is_no_queue_and_part_of_no_name(workspace, classes):
    assert isinstance(find_or_create_job(workspace, TOY, {"seeds": 1}, ["Latin"]), Run)
    assert [step.name for step in steps(workspace, ["Latin", "Greek"], seeds=1)] == ["Latin", "Greek"]
    assert [step.name for step in steps(workspace, ["Latin"], folds=2)] == ["Latin-fold1", "Latin-fold2"]


def test_seeds_are_counted_up_from_the_given_one(workspace):
    found = steps(workspace, seeds=3, seed="40", epochs="2")
    assert [step.settings["seed"] for step in found] == [40, 41, 42]
    assert [step.name for step in found] == [f"learn-seed{seed}" for seed in (40, 41, 42)]
    assert {step.settings["epochs"] for step in found} == {2}


def test_a_queue_reuses_runs_that_were_started_alone(workspace):
    alone = find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seed": 8})
    finish(alone)
    plan = find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seeds": 2})
    finish(plan)
    assert plan.read_status().state == "done", plan.read_status().message
    assert list(plan.read_status().runs) == ["learn-seed7", "learn-seed8"]
    assert plan.read_status().runs["learn-seed8"] == alone.id
    assert find_or_create_job(workspace, TOY, {"epochs": 1, "pages": 1, "seeds": 2}).id == plan.id, (
        "a second start resumes the queue"
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
def test_an_impossible_queue_is_refused_before_anything_is_created(workspace, words, says):
    with pytest.raises(SettingsError) as refused:
        find_or_create_job(workspace, TOY, words)
    assert says in refused.value.message
    assert not workspace.root.exists()


def test_a_preset_of_another_command_has_only_the_values_and_repeats_of_its_settings(workspace, classes):
    with pytest.raises(SettingsError, match="seed has no effect here"):
        find_or_create_job(workspace, TOY, {"seeds": 2}, ["Counting"])
    found = steps(workspace, ["Counting", "Latin"], seeds=2, epochs=1)
    assert [(step.name, step.settings) for step in found] == [
        ("Counting", {}),
        ("Latin-seed7", {"epochs": 1, "seed": 7}),
        ("Latin-seed8", {"epochs": 1, "seed": 8}),
    ]
    with pytest.raises(SettingsError, match="epochen"):
        find_or_create_job(workspace, TOY, {"epochen": 1}, ["Counting", "Latin"])


def test_a_plan_is_queued_beside_other_models_with_its_own_steps(workspace, classes):
    found = steps(workspace, ["Lesson", "Latin"], seeds=2, epochs=1)
    assert [step.name for step in found] == ["Lesson/first", "Lesson/second", "Latin-seed7", "Latin-seed8"]
    assert found[1].settings["start_from"] == "@Lesson/first.run"
    assert "epochs" not in found[0].settings


def test_each_model_of_a_queue_fails_alone(workspace, classes):
    plan = find_or_create_job(workspace, TOY, {"epochs": 1}, ["Broken", "Lesson", "Latin"])
    assert execute_plan(plan) == "failed"
    assert plan.read_status().message.startswith("Broken/second:")
    done = [step for step, status in plan.read_step_statuses().items() if status.state == "done"]
    assert done == ["Broken/first", "Lesson/first", "Lesson/second", "Latin"]
    assert plan.read_runs()["Broken/first"] == plan.read_runs()["Lesson/first"], "the same work is done once"


def test_a_resumed_queue_continues_inside_the_plan_where_it_was_halted(workspace, classes):
    plan = find_or_create_job(workspace, TOY, {"epochs": 1}, ["Halting", "Latin"])
    assert execute_plan(plan) == "halted"
    assert list(plan.read_runs()) == ["Halting/first", "Halting/second"]
    logs = [len(find_run(workspace, run).read_events()) for run in plan.read_runs().values()]
    again = find_or_create_job(workspace, TOY, {"epochs": 1}, ["Halting", "Latin"])
    assert again.id == plan.id
    assert execute_plan(plan) == "done"
    first, second, _ = (find_run(workspace, run) for run in plan.read_runs().values())
    assert len(first.read_events()) == logs[0], "the first step is not repeated"
    assert Note("continuing from 7") in second.read_events()[logs[1] :]


def test_repeated_and_growing_settings_belong_to_their_command():
    for name in command_list.list_commands():
        found = registry.find_command(name)
        names = [field.name for field in found.list_fields()]
        assert len(names) == len(set(names))
        assert {repeat.setting for repeat in found.repeats} <= set(names)
        if isinstance(found, registry.Stage) and found.extends_by:
            assert found.extends_by in names


def test_building_a_queue_creates_nothing(workspace):
    assert [step.name for step in build_queue(workspace, TOY, {}, (), {"seeds": 2})] == ["learn-seed7", "learn-seed8"]
    assert not workspace.root.exists()


def test_repeated_runs_of_a_command_with_a_comparison_end_with_it(workspace, classes, monkeypatch):
    monkeypatch.setattr(toy, "COMMAND", replace(toy.COMMAND, compared_by="compare"))
    *runs, last = steps(workspace, ["Latin", "Greek"], seeds=2)
    assert (last.name, last.stage) == ("compare", "compare")
    assert last.settings == {"runs": [f"@{step.name}.run" for step in runs]}
    assert [step.name for step in steps(workspace, ["Latin", "Greek"])] == ["Latin", "Greek"], "nothing is repeated"
    *_, last = steps(workspace, ["Latin", "Lesson"], seeds=2)
    assert last.settings == {"runs": ["@Latin-seed7.run", "@Latin-seed8.run"]}, "a comparison cannot read a count"


def test_a_queue_stores_its_inputs_when_it_is_created(workspace):
    for kind, name in (("dataset", "d"), ("cache", "c")):
        folder = workspace.product_folder(kind, name)
        folder.mkdir(parents=True)
        for file in (".arrangement", "manifest.csv", "index.csv", "settings.yaml"):
            (folder / file).write_text("x")
    plan = find_or_create_job(workspace, "train", {"epochs": 2}, ["MammoCNN", "ResNet18_CFT"])
    assert [step.settings for step in plan.read_steps()] == [{"epochs": 2, "dataset": "d", "cache": "c"}] * 2
