"""A plan killed with SIGKILL within its steps and started again ends bit-identical.

Dataset, cache, checkpoints, metrics, predictions and the table are compared, without the minutes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tfm.core.runs import worker
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.job_folder import Job
from tfm.core.runs.lookup import find_run, read_plans
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[2]
NOT_COMPARED = {"run", "minutes"}


def list_steps(workspace: Workspace) -> list[Step]:
    train = {
        "dataset": "@organize.dataset",
        "cache": "@preprocess.cache",
        "weights": "none",
        "epochs": 3,
        "batch_size": 4,
    }
    drawn = {"out": str(workspace.root / "out"), "train_women": 10, "test_women": 6, "height": 256, "traps": "all"}
    size = {"resize.height": 64, "resize.width": 64}
    return [
        Step("phantom", "phantom", drawn),
        Step("organize", "organize", {"download": ["@phantom.download"], "name": "small", "val_share": 0.3}),
        Step("preprocess", "preprocess", {"dataset": "@organize.dataset", "workers": 1} | size, "fast"),
        Step("MammoCNN", "train", train | {"threads": 1, "checkpoint_seconds": 0}, "MammoCNN"),
        Step("compare", "compare", {"runs": ["@MammoCNN.run"]}),
    ]


def finish(plan: Plan) -> None:
    """Execute it in this process, as a worker does."""
    assert worker.execute_plan(plan) == "done", plan.read_status()


def kill_when_at(plan: Plan, step: str, events: int) -> None:
    """Kill the plan after so many events of a step."""
    started = ThisMachine().submit(plan)
    assert started.process is not None
    deadline = time.monotonic() + 120
    while started.process.poll() is None and time.monotonic() < deadline:
        run_id = plan.read_status().runs.get(step)
        if run_id and len(find_run(plan.workspace, run_id).read_events()) >= events:
            break
        time.sleep(0.005)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()


def read_rows(job: Job) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if name not in NOT_COMPARED}
        for row in job.read_status().result["rows"]
    ]


def hash_files(plan: Plan) -> dict[str, str]:
    """Hash every file that must be equal."""
    root = plan.workspace.root
    files = {}
    for pattern in ("dataset/**/*", "cache/**/*.npy", "cache/**/index.csv"):
        for path in sorted(root.glob(pattern)):
            if path.is_file() and path.suffix != ".lock":
                files[str(path.relative_to(root))] = path
    run = find_run(plan.workspace, plan.read_status().runs["MammoCNN"])
    for name in ("metrics.csv", "predictions/val.csv", "predictions/test.csv"):
        files[name] = run.folder / name
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    for name in ("last", "best"):
        content = torch.load(run.checkpoints_folder / f"{name}.pt", weights_only=True)
        digests[name] = hashlib.sha256(flatten_bytes(content)).hexdigest()
    return digests


def flatten_bytes(value: object) -> bytes:
    """Tensors and numbers of a checkpoint, without the zip file around them."""
    if isinstance(value, dict):
        return b"".join(str(name).encode() + flatten_bytes(part) for name, part in sorted(value.items(), key=str))
    if isinstance(value, list | tuple):
        return b"".join(map(flatten_bytes, value))
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value).encode()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    plan = find_or_create_plan(workspace, "small", list_steps(workspace))
    finish(plan)
    return plan


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([("preprocess", 9), ("MammoCNN", 25)], id="twice"),
        pytest.param(
            [("phantom", 7), ("organize", 40), ("preprocess", 9), ("MammoCNN", 6), ("MammoCNN", 25)],
            id="in every step",
            marks=pytest.mark.long,
        ),
    ],
)
def test_killed_plan_ends_bit_identical(undisturbed, tmp_path, kills):
    workspace = Workspace(tmp_path / "workspace")
    plan = find_or_create_plan(workspace, "small", list_steps(workspace))
    for step, events in kills:
        kill_when_at(plan, step, events)
        plan = find_or_create_plan(workspace, "small", list_steps(workspace))
    finish(plan)
    assert hash_files(plan) == hash_files(undisturbed)
    assert read_rows(plan) == read_rows(undisturbed)


def start_demo(workspace: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "wizard.py", "demo", "--json", "--workspace", str(workspace)]
    return subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def run_demo(workspace: Path) -> list[dict[str, object]]:
    output = start_demo(workspace).communicate()[0]
    files = json.loads(output.splitlines()[-1])["result"]["rows"]
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in files]


@pytest.mark.long
def test_demo_killed_at_random_moments_ends_in_the_same_table(tmp_path):
    undisturbed = run_demo(tmp_path / "calm")
    moments = random.Random(3)
    workspace = tmp_path / "killed"
    for kill in range(6):
        demo = start_demo(workspace)
        time.sleep(moments.uniform(2, 28))  # any moment: there is no event to wait for
        working = [plan for plan, _ in read_plans(Workspace(workspace)) if plan.is_alive()]
        for plan in working:
            ThisMachine().cancel(plan)
        if kill % 2 or not working:
            os.killpg(demo.pid, signal.SIGKILL)  # the program that shows it too
        demo.communicate()
    assert run_demo(workspace) == undisturbed
