"""What sharing a training costs beside DistributedDataParallel alone: batches, augmentation, events and decisions."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.rows import report
from tests.bench.shared_steps import BATCH, PROCESSES, STEPS, WARM
from tests.training.bare_training import draw_half_breasts, make_cache

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("architecture", ["resnet18", "densenet121"])
def test_sharing_costs_at_most_five_percent_over_bare_ddp(architecture: str, tmp_path: Path) -> None:
    make_cache(tmp_path, draw_half_breasts(PROCESSES * BATCH * (STEPS + WARM), (128, 128)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(PROCESSES)]
    subprocess.run([*torchrun, "-m", "tests.bench.shared_steps", architecture, tmp_path], cwd=PROJECT, check=True)
    pairs = json.loads((tmp_path / "seconds.json").read_text())
    ours, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    report(f"step of two processes, {architecture}", ours, floor=bare, at_most=1.05)
