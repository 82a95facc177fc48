"""Runs of lesion-guided models: what they report, write and refuse, and how they are explained."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.results import list_differences
from tests.training.small_dataset import (
    PATIENTS,
    QUICK_SETTINGS,
    change_masks,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
    stop_after_steps,
)
from tfm.analysis.explanation.scores import read_scores
from tfm.core.errors import SettingsError
from tfm.core.events import Note
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.checkpoint import read_checkpoint

IN_STEPS = ("epochs", "warmup_epochs", "learning_rate")


@pytest.fixture
def small_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


def make_frozen_run(workspace: Workspace) -> Run:
    known = {name: value for name, value in QUICK_SETTINGS.items() if name not in IN_STEPS}
    return find_or_create_job(workspace, "train", known | {"architecture": "test_resnet"}, ["LesionGuided_OPW"])


def make_tuned_run(workspace: Workspace, **given) -> Run:
    return make_train_run(workspace, "LesionGuided_CFT", **{"architecture": "test_resnet"} | given)


def make_tiled_run(workspace: Workspace) -> Run:
    return make_tuned_run(workspace, tile=32, epochs=1)


def read_notes(run: Run) -> list[str]:
    return [event.text for event in run.read_events() if isinstance(event, Note)]


@pytest.mark.parametrize("make", [make_frozen_run, make_tuned_run, make_tiled_run])
def test_run_predicts_and_is_explained_by_its_own_map(small_workspace, make):
    run = finish_run(make(small_workspace))
    for split in ("val", "test"):
        assert len(pd.read_csv(run.predictions_file(split))) == 2 * PATIENTS[split]
    known = {"run": run.id, "pictures": 3, "threads": 1, "device": "cpu"}
    explained = finish_run(find_or_create_job(small_workspace, "explain", known))
    assert explained.read_status().result["look"] == "malignant lesions"
    scores = read_scores(explained.scores_file)
    energy = scores.groupby("look")["energy"].mean()
    if make is make_frozen_run:
        assert energy["malignant lesions"] > 2 * energy["everywhere alike"]


def forget_masks(workspace: Workspace, patients: str) -> None:
    """Remove the masks of patients whose names contain a text from dataset and cache."""
    change_masks(workspace, lambda name, mask: mask * (patients not in name))
    rewrite_manifest(
        workspace, lambda table: table.assign(mask=table["mask"].where(~table["image_id"].str.contains(patients), ""))
    )


@pytest.mark.parametrize("make", [make_frozen_run, make_tuned_run])
def test_images_without_a_mask_are_counted_and_teach_the_pooled_features(small_workspace, make):
    forget_masks(small_workspace, "train00")
    notes = read_notes(finish_run(make(small_workspace)))
    assert "2 of the 36 training images show no lesion in a mask: they teach the pooled features alone" in notes


def test_no_mask_at_all_is_refused(small_workspace):
    forget_masks(small_workspace, "P_")
    run = make_frozen_run(small_workspace)
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "no training image has a lesion in its mask" in run.read_status().message


def test_training_starts_from_the_regressions_on_the_first_features(small_workspace):
    """With a learning rate near zero it ends where the regressions left off."""
    given = {"max_pooling": True, "epochs": 1, "learning_rate": 1e-12, "augment": False, "trained": "head", "seed": 7}
    tuned, frozen = finish_run(make_tuned_run(small_workspace, **given)), finish_run(make_frozen_run(small_workspace))
    for split in ("val", "test"):
        probs = [pd.read_csv(run.predictions_file(split))["prob"] for run in (tuned, frozen)]
        assert probs[0].sub(probs[1]).abs().max() < 1e-4
    assert any("regressions on the first features: val auc" in note for note in read_notes(tuned))


def test_the_regressions_predict_if_no_epoch_improves_on_them(small_workspace):
    spoilt = finish_run(make_tuned_run(small_workspace, max_pooling=True, epochs=1, learning_rate=10.0, seed=7))
    frozen = finish_run(make_frozen_run(small_workspace))
    probs = [pd.read_csv(run.predictions_file("test"))["prob"] for run in (spoilt, frozen)]
    assert probs[0].sub(probs[1]).abs().max() < 1e-4


@pytest.mark.long
def test_run_stopped_before_its_first_checkpoint_ends_the_same(small_workspace, tmp_path):
    given = {"epochs": 1, "fit_heads": True}
    run = make_tuned_run(small_workspace, **given)
    stop_after_steps(run, 1)
    shutil.rmtree(run.checkpoints_folder)
    other = Workspace(tmp_path / "other")
    make_small_dataset(other)
    assert list_differences(finish_run(run), finish_run(make_tuned_run(other, **given))) == []


def test_weight_of_the_masks_changes_what_is_learned(small_workspace):
    given = {"fit_heads": False}
    light, heavy = (finish_run(make_tuned_run(small_workspace, mask_weight=weight, **given)) for weight in (1e-6, 10))
    losses = [pd.read_csv(run.metrics_file)["val_mask_loss"].iloc[-1] for run in (light, heavy)]
    assert losses[1] < losses[0]


def test_encoder_without_a_place_map_is_refused_before_training(small_workspace):
    run = make_tuned_run(small_workspace, architecture="test_vit", max_pooling=False)
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "VisionTransformer does not output a feature map of stride 16" in run.read_status().message


def test_mean_teacher_with_tiles_is_refused(small_workspace):
    with pytest.raises(SettingsError, match="mean teacher predicts whole images"):
        make_tuned_run(small_workspace, tile=32, label_percent=50, unlabelled="consistency")


def test_maximum_over_the_breast_is_refused(small_workspace):
    with pytest.raises(SettingsError, match="cannot be taken over the breast"):
        make_tuned_run(small_workspace, lesion_guidance="none", pooling="breast")


@pytest.mark.long
def test_images_whose_label_is_hidden_take_no_part_in_the_regressions(small_workspace):
    run = finish_run(make_tuned_run(small_workspace, label_percent=50, unlabelled="pseudo", ema=0.9, epochs=1))
    assert len(np.load(run.checkpoints_folder / "train.npy")) < 36


@pytest.mark.long
def test_two_processes_train_like_one_with_the_same_step_size(small_workspace):
    given = {"architecture": "test_convnext", "max_pooling": False, "batch_size": 5, "epochs": 1}
    forget_masks(small_workspace, "train00")
    shared, alone = (
        finish_run(make_tuned_run(small_workspace, **given, **more)) for more in ({"devices": 2}, {"accumulate": 2})
    )
    one, two = (read_checkpoint(run.checkpoints_folder / "last.pt")["network"] for run in (shared, alone))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("given", [{"pooling": "breast"}, {"background_contrast": 0.1}, {"compile": True}])
def test_breast_terms_and_compilation_are_refused(small_workspace, given):
    with pytest.raises(SettingsError, match="a model that learns from lesion masks") as refusal:
        make_tuned_run(small_workspace, **given)
    assert {*given, "lesion_guidance"} <= set(refusal.value.fields)


def test_weight_of_the_masks_has_no_effect_without_guidance(small_workspace):
    with pytest.raises(SettingsError, match="mask-weight"):
        make_tuned_run(small_workspace, lesion_guidance="none", mask_weight=2)
