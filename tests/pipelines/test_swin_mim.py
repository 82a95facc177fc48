"""The plan of the three phases, and what each setting skips or repeats."""

import pytest

from tests.training.small_dataset import QUICK_SETTINGS, make_small_dataset, rewrite_manifest
from tfm.core.errors import SettingsError, TFMError
from tfm.core.registry import find_command
from tfm.core.runs import lookup, worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve

TINY = {name: QUICK_SETTINGS[name] for name in ("dataset", "cache", "threads", "device", "batch_size")}
TINY |= {"architecture": "swin_pico", "mim_epochs": 1, "cls_epochs": 1}


def steps(workspace, **given):
    planner = find_command("swin-mim")
    settings = resolve(planner.settings, {}, {"dataset": "pocket", "cache": "pocket"} | given)
    return {step.name: step for step in planner.build_steps(settings, workspace)}


def work(plan):
    assert worker.execute_plan(plan) == "done", plan.read_status().message
    return dict(plan.read_status().runs)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("swin_mim") / "workspace")
    make_small_dataset(workspace)
    return workspace


@pytest.fixture(scope="module")
def first(workspace):
    """A plan that was started by the name of a model."""
    return find_or_create_job(workspace, "train", TINY, ["SwinMIM"])


@pytest.fixture(scope="module")
def runs(first):
    return work(first)


def test_an_encoder_is_pretrained_fine_tuned_and_explained(workspace, runs):
    pretrained, trained, explained = (
        lookup.find_run(workspace, runs[name]) for name in ("pretrain", "train", "explain")
    )
    assert trained.read_settings()["model"]["weights"] == f"run:{pretrained.id}"
    assert trained.read_status().result["model"] == "SwinMIM"
    assert trained.read_status().result["weights"] == f"run {pretrained.id}"
    assert explained.read_status().result["trained"] == trained.id
    said = trained.read_settings()
    assert said["breast"] == {"pooling": "breast", "background_contrast": 0.1, "beta": 1e-3, "attention_gamma": 1e-3}
    assert (said["optim"]["epochs"], pretrained.read_settings()["optim"]["epochs"]) == (1, 1)
    assert pretrained.read_settings()["beta"] == 1e-3


def test_the_same_settings_give_the_same_plan_and_other_labels_reuse_the_encoder(workspace, first, runs):
    assert find_or_create_job(workspace, "swin-mim", TINY).id != first.id, "the plan has another name"
    assert find_or_create_job(workspace, "train", TINY, ["SwinMIM"]).id == first.id
    few = work(find_or_create_job(workspace, "swin-mim", TINY | {"label_percent": 50, "visualize": False}))
    assert few["pretrain"] == runs["pretrain"]
    assert few["train"] != runs["train"]
    assert set(few) == {"pretrain", "train"}


def test_a_forced_run_is_repeated_once_and_not_by_a_resume(workspace, runs):
    given = TINY | {"force_train": True, "visualize": False}
    forced = find_or_create_job(workspace, "swin-mim", given)
    anew = work(forced)
    assert anew["pretrain"] == runs["pretrain"]
    assert anew["train"] != runs["train"]
    assert work(forced) == anew, "resumed"
    again = find_or_create_job(workspace, "swin-mim", TINY | {"force_train": True, "visualize": False})
    assert again.id != forced.id
    assert find_or_create_job(workspace, "swin-mim", TINY | {"force_train": True, "visualize": False}).id == again.id, (
        "the same plan, because it has not started yet"
    )


def test_a_halted_forced_run_is_resumed_and_not_replaced_by_an_older_one(workspace, runs):
    given = {name: value for name, value in TINY.items() if name != "cls_epochs"}
    plan = find_or_create_job(workspace, "swin-mim", given | {"force_pretrain": True, "skip_train": True})
    plan.request_pause()
    assert worker.execute_plan(plan) == "paused"
    begun = plan.read_status().runs["pretrain"]
    assert begun != runs["pretrain"]
    assert work(plan)["pretrain"] == begun
    assert lookup.find_run(workspace, begun).read_status().state == "done"


def test_phases_can_be_skipped(workspace):
    assert list(steps(workspace)) == ["pretrain", "train", "explain"]
    assert list(steps(workspace, visualize=False)) == ["pretrain", "train"]
    assert list(steps(workspace, skip_train=True)) == ["pretrain"]
    alone = steps(workspace, skip_pretrain=True, weights="imagenet")
    assert list(alone) == ["train", "explain"]
    assert alone["train"].settings["weights"] == "imagenet"
    with pytest.raises(SettingsError, match="without pretraining and without training"):
        steps(workspace, skip_pretrain=True, skip_train=True)


@pytest.mark.parametrize(
    ("left_out", "idle"),
    [
        ("skip_pretrain", {"mim_epochs": 3}),
        ("skip_pretrain", {"force_pretrain": True}),
        ("skip_pretrain", {"share": 0.3}),
        ("skip_train", {"cls_epochs": 3}),
        ("skip_train", {"label_percent": 10}),
        ("skip_train", {"visualize": False}),
        ("skip_train", {"force_train": True}),
    ],
)
def test_settings_of_a_skipped_phase_are_refused(workspace, left_out, idle):
    with pytest.raises(SettingsError, match="no effect"):
        steps(workspace, **{left_out: True} | idle)


def test_settings_of_masking_reach_the_pretraining_and_have_the_same_questions(workspace):
    given = {"block": 16, "threshold": 0.4, "share": 0.6, "fill": "zeros", "loss_on": "masked"}
    settings = steps(workspace, **given)["pretrain"].settings
    assert settings["masks"] | {"loss_on": settings["loss_on"]} == given
    own, its = (
        {field.name: field for field in list_fields(find_command(name).settings)} for name in ("swin-mim", "pretrain")
    )
    assert all(own[name].question == its[name].question for name in given)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"label_percent": 1}, "1 % of the labels"),
        ({"block": 64}, "64 pixels .* 64 × 64"),
        ({"architecture": "test_convnext", "beta": 0}, "no window attention"),
        ({"architecture": "resnet50_clip", "beta": 0, "attention_gamma": 0}, "does not classify the average"),
        ({"compile": True}, "compiled"),
        ({"devices": 2, "label_percent": 50, "unlabelled": "consistency"}, "mean teacher"),
    ],
)
def test_impossible_settings_are_refused_before_the_pretraining(workspace, wrong, words):
    with pytest.raises(TFMError, match=words):
        find_or_create_job(workspace, "swin-mim", TINY | wrong)


def test_weights_that_have_seen_test_patients_are_refused_before_the_start(workspace, runs):
    make_small_dataset(workspace, "turned")
    splits = {"train": "test", "test": "train"}
    rewrite_manifest(workspace, lambda rows: rows.assign(split=rows["split"].replace(splits)), "turned")
    given = TINY | {"dataset": "turned", "weights": f"run:{runs['pretrain']}"}
    with pytest.raises(TFMError, match="have seen 18 of the 18 test patients"):
        find_or_create_job(workspace, "swin-mim", given)


def test_the_preset_of_the_plan_and_its_training_sets_nothing():
    assert presets.load_preset("models", "SwinMIM").settings == {}
