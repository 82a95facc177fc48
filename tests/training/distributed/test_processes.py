"""Several processes take the same steps as one, with the same sums."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_small_dataset, make_train_run
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.training.checkpoint import read_checkpoint
from tfm.training.distributed.processes import Share, SingleProcess

# No batch statistics; dropout must not depend on which process computes a batch.
SETTINGS = {"architecture": "test_convnext", "dropout": 0.3, "epochs": 2}
SWIN = {"architecture": "swin_pico", "batch_size": 7, "epochs": 1}


@pytest.fixture
def small_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


def train(workspace, **given) -> Run:
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **SETTINGS | given))


def assert_alike(run: Run, other: Run) -> None:
    """The weights are equal. Batch statistics are not: each process keeps those of its own batches."""
    one, two = (read_checkpoint(each.checkpoints_folder / "last.pt")["network"] for each in (run, other))
    for name, tensor in one.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-5)


def share_batches(rank: int, count: int, batches: list[np.ndarray]) -> list[Share]:
    processes = SingleProcess()
    processes.rank, processes.count = rank, count
    return processes.share(batches)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_each_batch_of_a_step_belongs_to_one_process_and_keeps_its_number(count):
    shares = [share_batches(rank, count, [np.array([number]) for number in range(7)]) for rank in range(count)]
    counting = [one for one in itertools.chain(*shares) if one.factor]
    assert sorted((one.number, one.places.item()) for one in counting) == [(number, number) for number in range(7)]
    assert {one.factor for one in counting} == {count}
    for share in shares:  # each takes part in one sum of gradients, with a loss of zero where it has no batch
        assert [one.is_last for one in share] == [False] * (len(share) - 1) + [True]
        assert share[0].factor or len(share) == 1


@pytest.mark.long
def test_three_processes_train_like_one_with_the_same_step_size(small_workspace):
    """36 images in steps of 3 × 11 leave a last step with fewer batches than processes."""
    given = {"batch_size": 11, "gradient_clip": 1e-3, "ema": 0.9}
    assert_alike(train(small_workspace, devices=3, **given), train(small_workspace, accumulate=3, **given))


@pytest.mark.long
@pytest.mark.parametrize("given", [{"batch_size": 5, "precision": "bf16"}, {"batch_size": 17, "precision": "fp16"}])
def test_several_batches_in_each_process_train_like_one(small_workspace, given):
    """In half precision, rounding changes the sign of a gradient near zero, and so a weight."""
    both = train(small_workspace, devices=2, accumulate=2, **given)
    alone = train(small_workspace, accumulate=4, **given)
    losses = [pd.read_csv(run.metrics_file)[["train_loss", "val_loss"]].to_numpy() for run in (both, alone)]
    np.testing.assert_allclose(*losses, rtol=2e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("stage", "given"),
    [
        ("segment", {"backbone": "test_convnext", "classes": "lesion", "epochs": 1, "batch_size": 5}),
        ("pretrain", SWIN | {"block": 16, "beta": 1e-3}),
        ("train", SETTINGS | {"two_views": True, "epochs": 1, "batch_size": 5}),
        ("train", SWIN | {"weights": "none", "pooling": "breast", "background_contrast": 0.1, "beta": 1e-3}),
    ],
)
def test_every_task_is_shared(small_workspace, stage, given):
    presets = ["ResNet18_CFT"] if stage == "train" else []
    runs = [
        finish_run(find_or_create_job(small_workspace, stage, QUICK_SETTINGS | given | shared, presets))
        for shared in ({"devices": 2}, {"accumulate": 2})
    ]
    assert_alike(*runs)
