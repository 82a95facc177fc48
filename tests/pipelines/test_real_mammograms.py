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


def predict_test(workspace: Workspace, shared_data: Path, preset: str, seed: int) -> pd.DataFrame:
    name = f"mass256-{SIDE}-{seed}"
    if not workspace.dataset_folder(name).exists():
        make_mass256(workspace, shared_data, name, side=SIDE, seed=seed)
    given = {"dataset": name, "cache": name, "device": "cpu", "threads": 1}
    run = finish_run(find_or_create_job(workspace, "train", given, [preset]))
    return pd.read_csv(run.predictions_file("test"))


def compute_table_auc(table: pd.DataFrame) -> float:
    return compute_auc(table["label"].to_numpy(), table["prob"].to_numpy())


def measure_gain_of_views(images: pd.DataFrame) -> float:
    """What the AUC gains if both views of a breast are averaged, in the breasts that have both."""
    breast = images.groupby(["patient_id", "side"])
    pairs = images[breast["view"].transform("nunique") == 2]
    averaged = pairs.groupby(["patient_id", "side"]).agg(label=("label", "max"), prob=("prob", "mean"))
    return compute_table_auc(averaged) - compute_table_auc(pairs)


@pytest.mark.long
@pytest.mark.parametrize(
    ("preset", "least"), [("EfficientNetLite0_OPW", 0.68), ("LesionGuided_OPW", 0.71), ("LesionGuided_CFT", 0.75)]
)
def test_pretrained_models_reach_their_figures(workspace, shared_data, preset, least):
    tests = [predict_test(workspace, shared_data, preset, seed) for seed in SEEDS]
    assert np.mean([compute_table_auc(table) for table in tests]) >= least
    assert np.mean([measure_gain_of_views(table) for table in tests]) >= 0.03
