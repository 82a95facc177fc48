"""How well models do on real mammograms, split at random by patient (`long`). The figures are in tests/README.md."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.data.mass256 import make_mass256
from tests.training.small_dataset import finish_run
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.metrics.classification import compute_auc

SIDE = 384  # the images have 256: enlarged, the encoder meets lesions at the scale of what it was trained on
SEEDS = (0, 1)


def measure_test_auc(workspace: Workspace, shared_data: Path, preset: str, seed: int, **given) -> float:
    name = f"mass256-{SIDE}-{seed}"
    if not workspace.dataset_folder(name).exists():
        make_mass256(workspace, shared_data, name, side=SIDE, seed=seed)
    known = {"dataset": name, "cache": name, "device": "cpu"}
    run = finish_run(find_or_create_job(workspace, "train", known | given, [preset]))
    table = pd.read_csv(run.predictions_file("test"))
    return compute_auc(table["label"].to_numpy(), table["prob"].to_numpy())


@pytest.mark.long
@pytest.mark.parametrize(("preset", "least"), [("EfficientNetLite0_OPW", 0.68), ("LesionGuided_OPW", 0.71)])
def test_regressions_on_frozen_features_reach_their_figure(workspace, shared_data, preset, least):
    assert np.mean([measure_test_auc(workspace, shared_data, preset, seed) for seed in SEEDS]) >= least
