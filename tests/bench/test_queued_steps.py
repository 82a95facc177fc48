"""How soon home answers while the 325 steps of a plan (13 models × 5 folds × 5 seeds) wait on a cluster."""

import io
import statistics
import time

import pytest
from rich.console import Console

from tests.bench.rows import report
from tests.one_node_slurm import write_cluster
from tests.toy_jobs import TOY
from tests.ui.scripted import Scripted
from tfm.core.runs import slurm_queue
from tfm.core.runs.executors import SlurmCluster
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.ui.screens.home import Home

pytestmark = [pytest.mark.alone, pytest.mark.long]

STEPS = 325


def test_home_answers_within_a_tenth_of_a_second(slurm, workspace):
    write_cluster(workspace, partition="main", time=10, cpus=1, gpus=0)
    plan = find_or_create_plan(workspace, "queue", [Step(f"s{n}", TOY, {"target": n + 1}) for n in range(STEPS)])
    console = Console(file=io.StringIO(), width=100, height=30)
    home = Home(workspace, Scripted({}), console)
    with slurm.occupied():
        cluster = SlurmCluster(workspace, "ours")
        cluster.submit(plan)
        assert f"{STEPS} waiting" in plan.read_status().message
        seconds = []
        for _ in range(7):
            slurm_queue.forget_reading()  # the time to ask Slurm is part of it
            begun = time.perf_counter()
            console.print(home.build_question().head)
            seconds.append(time.perf_counter() - begun)
        cluster.cancel(plan)
    report(f"menu with {STEPS} steps on a cluster", 1000 * statistics.median(seconds), unit="ms", at_most=100)
