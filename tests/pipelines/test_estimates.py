"""What real trainings took, beside what was estimated before they started."""

import os

import cv2
import numpy as np
import pytest

from tests.training.small_dataset import PATIENTS, SIDE
from tfm.core.runs.estimates import read_estimates
from tfm.core.runs.executors.this_machine import start_worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.measured_paces import harvest_paces
from tfm.core.runs.probe import measure
from tfm.data.phantom.prepared_dataset import draw_image, make_manifest_row, write_dataset_and_cache

MODELS = ["ResNet18_CFT", "DenseNet121_CFT", "EfficientNetB3_CFT", "MammoCNN", "EfficientNetLite0_OPW"]
SIZES = [(256, 256), (512, 320)]
FACTOR = 1.5


def make_dataset(workspace, size):
    generator = np.random.default_rng(5)
    rows, images = [], []
    for split, count in PATIENTS.items():
        for number in range(2 * count):
            label = ["benign", "malignant"][number % 2]
            drawn = draw_image(label == "malignant", generator, SIDE)
            rows.append(make_manifest_row(f"P_{split}{number:02d}", "CC", split, label, len(rows)))
            images.append(tuple(cv2.resize(one, size[::-1], interpolation=cv2.INTER_NEAREST) for one in drawn))
    write_dataset_and_cache(workspace, "large", rows, images, protocol="large discs", synthetic=True)


def work(run):
    """Execute it by a real worker: CPU seconds, and GiB at its peak. On one thread, these are the seconds of a machine
    that does nothing else."""
    _, _, used = os.wait4(start_worker(run).pid, 0)
    assert run.read_status().state == "done", run.read_status().message
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
def test_time_and_memory_are_estimated_within_a_factor(workspace, size, empty_user_cache, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_dataset(workspace, size)
    given = {"dataset": "large", "cache": "large", "weights": "none", "epochs": 2, "batch_size": 8, "device": "cpu"}
    assert "speed" in list(measure(workspace, "train", MODELS, given))
    before = read_estimates(workspace, "train", MODELS, given)
    factors = {}
    for name in MODELS:
        own = given if name.endswith("_CFT") or name == "MammoCNN" else {**given, "epochs": None}
        run = find_or_create_job(workspace, "train", {key: value for key, value in own.items() if value}, [name])
        seconds, gib = work(run)
        disk = sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file()) / 1e6
        guess = before[name]
        factors[name] = (guess.seconds / seconds, guess.memory_gib / gib, guess.disk_mb / disk)
        shown = ", ".join(f"{factor:.2f}" for factor in factors[name])
        print(f"{name} {size}: {seconds:.0f} s, {gib:.2f} GiB; time, memory, disk: {shown}", flush=True)  # noqa: T201
    assert all(1 / FACTOR < factor < FACTOR for each in factors.values() for factor in each), factors
    harvest_paces(workspace)
    after = read_estimates(workspace, "train", MODELS, given)
    assert all(after[name].is_measured for name in MODELS[:4])
