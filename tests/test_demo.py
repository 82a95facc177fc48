"""The demo as a user runs it: the whole path on synthetic images, and the control with random labels.

It takes minutes, so these tests are `long`; `.ci/run` runs the first of them beside the suite.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

PROJECT = Path(__file__).resolve().parent.parent


def demo(workspace: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    begun = time.monotonic()
    told = subprocess.run(
        [sys.executable, "wizard.py", "demo", "--json", "--workspace", str(workspace), *words],
        cwd=PROJECT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return told, time.monotonic() - begun


def rows_of(told: subprocess.CompletedProcess[str]) -> list[dict]:  # type: ignore[type-arg]
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])["result"]["rows"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    told, seconds = demo(workspace)
    return workspace, told, seconds


def test_all_models_learn_the_task(finished):
    rows = rows_of(finished[1])
    weights = {row["model"]: row["weights"] for row in rows}
    scratch = "none: from scratch"
    assert weights == {"EfficientNetLite0_OPW": "ImageNet", "MammoCNN": scratch, "ResNet18_CFT": scratch}
    for row in rows:
        assert row["auc"] >= 0.80, row
        assert row["auc_low"] > 0.5, row
        assert sum(row[count] for count in ("tp", "fp", "tn", "fn")) >= 60


def test_the_caption_says_that_synthetic_images_prove_nothing(finished):
    _, told, _ = finished
    screen = " ".join(told.stderr.split())
    assert "say nothing about performance on real mammograms" in screen
    assert "organize a download" in screen


def test_the_same_command_again_reuses_every_run(finished):
    workspace, told, _ = finished
    runs = sorted(path.name for path in (workspace / "runs").iterdir())
    again, seconds = demo(workspace)
    assert rows_of(again) == rows_of(told)
    assert sorted(path.name for path in (workspace / "runs").iterdir()) == runs
    assert seconds <= 20


def test_with_shuffled_labels_the_interval_includes_one_half(tmp_path):
    told, _ = demo(tmp_path / "workspace", "--shuffle-labels")
    for row in rows_of(told):
        assert row["auc_low"] <= 0.5 <= row["auc_high"], row
