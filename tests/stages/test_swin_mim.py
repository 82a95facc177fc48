"""The plan of the three phases: what each flag leaves out, hands on or does anew."""

import pytest

from tests.train.pocket import QUICK, make_products
from tfm import worker
from tfm.core import jobs, offers
from tfm.core.errors import SettingsError
from tfm.core.prepare import job_for
from tfm.core.registry import find
from tfm.core.resolving import resolve
from tfm.core.workspace import Workspace

TINY = {name: QUICK[name] for name in ("dataset", "cache", "threads", "device", "batch_size")}
TINY |= {"architecture": "swin_pico", "mim_epochs": 1, "cls_epochs": 1}


def steps(**given):
    planner = find("swin-mim")
    settings = resolve(planner.settings, {}, {"dataset": "pocket", "cache": "pocket"} | given)
    return {step.name: step for step in planner.steps(settings, None)}


def work(plan):
    assert worker.take_plan(plan) == "done", plan.status.message
    return dict(plan.status.runs)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("swin_mim") / "workspace")
    make_products(workspace)
    return workspace


@pytest.fixture(scope="module")
def first(workspace):
    """By the name in the model menu."""
    return job_for(workspace, "train", TINY, ["SwinMIM"])


@pytest.fixture(scope="module")
def runs(first):
    return work(first)


def test_an_encoder_is_pretrained_taken_up_by_a_training_and_explained(workspace, runs):
    pretrained, trained, explained = (jobs.find_run(workspace, runs[name]) for name in ("pretrain", "train", "explain"))
    assert trained.given_settings["model"]["weights"] == f"run:{pretrained.id}"
    assert trained.status.result["model"] == "SwinMIM"
    assert trained.status.result["weights"] == f"run {pretrained.id}"
    assert explained.status.result["trained"] == trained.id
    said = trained.given_settings
    assert said["breast"] == {"pooling": "breast", "background_contrast": 0.1, "beta": 1e-3, "attention_gamma": 1e-3}
    assert (said["optim"]["epochs"], pretrained.given_settings["optim"]["epochs"]) == (1, 1)
    assert pretrained.given_settings["beta"] == 1e-3


def test_started_again_it_is_the_same_plan_and_other_labels_take_up_the_same_encoder(workspace, first, runs):
    assert job_for(workspace, "swin-mim", TINY).id != first.id, "it goes by another name"
    assert job_for(workspace, "train", TINY, ["SwinMIM"]).id == first.id
    few = work(job_for(workspace, "swin-mim", TINY | {"label_percent": 50, "visualize": False}))
    assert few["pretrain"] == runs["pretrain"]
    assert few["train"] != runs["train"]
    assert set(few) == {"pretrain", "train"}


def test_what_is_forced_is_done_anew_once_and_not_again_by_a_resume(workspace, runs):
    given = TINY | {"force_train": True, "visualize": False}
    forced = job_for(workspace, "swin-mim", given)
    anew = work(forced)
    assert anew["pretrain"] == runs["pretrain"]
    assert anew["train"] != runs["train"]
    assert work(forced) == anew, "resumed"
    again = job_for(workspace, "swin-mim", TINY | {"force_train": True, "visualize": False})
    assert again.id != forced.id
    assert job_for(workspace, "swin-mim", TINY | {"force_train": True, "visualize": False}).id == again.id, (
        "not begun yet: the same"
    )


def test_a_forced_run_that_was_halted_goes_on_and_no_older_one_takes_its_place(workspace, runs):
    given = {name: value for name, value in TINY.items() if name != "cls_epochs"}
    plan = job_for(workspace, "swin-mim", given | {"force_pretrain": True, "skip_train": True})
    plan.request_pause()
    assert worker.take_plan(plan) == "paused"
    begun = plan.status.runs["pretrain"]
    assert begun != runs["pretrain"]
    assert work(plan)["pretrain"] == begun
    assert jobs.find_run(workspace, begun).status.state == "done"


def test_phases_can_be_left_out():
    assert list(steps()) == ["pretrain", "train", "explain"]
    assert list(steps(visualize=False)) == ["pretrain", "train"]
    assert list(steps(skip_train=True)) == ["pretrain"]
    alone = steps(skip_pretrain=True, weights="imagenet")
    assert list(alone) == ["train", "explain"]
    assert alone["train"].settings["weights"] == "imagenet"
    with pytest.raises(SettingsError, match="nothing is left"):
        steps(skip_pretrain=True, skip_train=True)


@pytest.mark.parametrize(
    ("left_out", "idle"),
    [
        ("skip_pretrain", {"mim_epochs": 3}),
        ("skip_pretrain", {"force_pretrain": True}),
        ("skip_train", {"cls_epochs": 3}),
        ("skip_train", {"label_percent": 10}),
        ("skip_train", {"visualize": False}),
        ("skip_train", {"force_train": True}),
    ],
)
def test_what_would_do_nothing_is_refused(left_out, idle):
    with pytest.raises(SettingsError, match="no effect"):
        steps(**{left_out: True} | idle)


def test_the_preset_sets_nothing_for_the_plan_and_its_training_both_go_by_it():
    assert offers.preset("models", "SwinMIM").settings == {}
