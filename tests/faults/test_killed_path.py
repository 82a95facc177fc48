"""The whole path, killed with SIGKILL in the middle of its steps and started again, ends as the undisturbed one:
dataset, cache, checkpoints, metrics and predictions bit for bit, and the same table, the minutes aside."""

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

from tfm.core.runs import worker
from tfm.core.runs.job import Job
from tfm.core.runs.launch import find_or_create_plan
from tfm.core.runs.lookup import find_run, list_plans
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[2]
NOT_COMPARED = {"run", "minutes"}


def small_path(workspace: Workspace) -> list[Step]:
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
        Step("preprocess", "preprocess", {"dataset": "@organize.dataset"} | size, "fast"),
        Step("MammoCNN", "train", train | {"threads": 1, "checkpoint_seconds": 0}, "MammoCNN"),
        Step("compare", "compare", {"runs": ["@MammoCNN.run"]}),
    ]


def finish(plan: Plan) -> None:
    started = worker.start_worker(plan)
    assert started.process is not None
    started.process.wait(timeout=300)
    assert plan.read_status().state == "done", plan.read_status()


def kill_when_at(plan: Plan, step: str, events: int) -> None:
    """Let the plan come to a step and some events into it; then no warning."""
    started = worker.start_worker(plan)
    assert started.process is not None
    deadline = time.monotonic() + 120
    while started.process.poll() is None and time.monotonic() < deadline:
        run_id = plan.read_status().runs.get(step)
        if run_id and len(find_run(plan.workspace, run_id).read_events()) >= events:
            break
        time.sleep(0.005)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()


def rows(job: Job) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if name not in NOT_COMPARED}
        for row in job.read_status().result["rows"]
    ]


def fingerprints(plan: Plan) -> dict[str, str]:
    """Of every file that equality covers, by its place in dataset, cache or step."""
    root = plan.workspace.root
    found = {}
    for pattern in ("dataset/**/*", "cache/**/*.npy", "cache/**/index.csv"):
        for path in sorted(root.glob(pattern)):
            if path.is_file() and path.suffix != ".lock":
                found[str(path.relative_to(root))] = path
    run = find_run(plan.workspace, plan.read_status().runs["MammoCNN"])
    for name in ("metrics.csv", "predictions/val.csv", "predictions/test.csv"):
        found[name] = run.folder / name
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    import torch

    for name in ("last", "best"):
        content = torch.load(run.checkpoints_folder / f"{name}.pt", weights_only=True)
        digests[name] = hashlib.sha256(_bytes_of(content)).hexdigest()
    return digests


def _bytes_of(value: object) -> bytes:
    """A checkpoint's tensors and numbers; the zip around them carries names of its own."""
    import torch

    if isinstance(value, dict):
        return b"".join(str(name).encode() + _bytes_of(part) for name, part in sorted(value.items(), key=str))
    if isinstance(value, list | tuple):
        return b"".join(map(_bytes_of, value))
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value).encode()


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    plan = find_or_create_plan(workspace, "small", small_path(workspace))
    finish(plan)
    return plan


def test_a_killed_path_ends_bit_identical(calm, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    plan = find_or_create_plan(workspace, "small", small_path(workspace))
    for step, events in [("phantom", 7), ("organize", 40), ("preprocess", 9), ("MammoCNN", 6), ("MammoCNN", 25)]:
        kill_when_at(plan, step, events)
        plan = find_or_create_plan(workspace, "small", small_path(workspace))
    finish(plan)
    assert fingerprints(plan) == fingerprints(calm)
    assert rows(plan) == rows(calm)


def demo(workspace: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "wizard.py", "demo", "--json", "--workspace", str(workspace)]
    return subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def demo_rows(workspace: Path) -> list[dict[str, object]]:
    told = demo(workspace).communicate()[0]
    found = json.loads(told.splitlines()[-1])["result"]["rows"]
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in found]


@pytest.mark.long
def test_the_demo_killed_at_any_moment_ends_in_the_same_table(tmp_path):
    calm = demo_rows(tmp_path / "calm")
    moments = random.Random(3)
    workspace = tmp_path / "killed"
    for kill in range(6):
        shown = demo(workspace)
        time.sleep(moments.uniform(2, 28))  # any moment: there is no event to wait for
        working = [plan for plan in list_plans(Workspace(workspace)) if plan.is_alive()]
        for plan in working:
            worker.kill_worker(plan)
        if kill % 2 or not working:
            os.killpg(shown.pid, signal.SIGKILL)  # and who watches it
        shown.communicate()
    assert demo_rows(workspace) == calm
