"""Every stage that works long ends bit-identical after every disaster, at moments drawn from all of its work."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.clock import build_clock
from tests.faults.disasters import DISASTERS, Trial
from tests.faults.stages import STAGES, Material, Results, collect
from tests.faults.worker_process import AFTER_THE_END, WorkerProcess, start_forking
from tfm.core.runs.workspace import Workspace

TRIALS = int(os.environ.get("TFM_TRIALS", "3"))  # of each disaster in each stage
STARTS = 4  # after a disaster: a start may find something damaged, say so, and remove it


class Laboratory:
    def __init__(self, folder: Path, has_clock: bool) -> None:
        self.folder, self.has_clock = folder, has_clock
        self.material = Material(folder)
        self.counts: Counter[str] = Counter()
        self._undisturbed: dict[str, tuple[Results, int]] = {}

    def run_undisturbed(self, stage: str) -> tuple[Results, int]:
        """The results of a stage, and the number of its moments."""
        if stage not in self._undisturbed:
            root = self.folder / f"undisturbed-{stage}"
            shutil.copytree(self.material.workspace.root, root)
            job = STAGES[stage](self.material, Workspace(root))
            process = WorkerProcess(job)
            assert process.wait() == 0, job.read_status()
            self._undisturbed[stage] = collect(job), process.accesses
        return self._undisturbed[stage]

    def try_out(self, stage: str, disaster: str, number: int) -> str:
        """Let a disaster strike a stage. Returns what is wrong, or nothing."""
        expected, moments = self.run_undisturbed(stage)
        random = Random(f"{stage} {disaster} {number}")
        happening = DISASTERS[disaster]()
        with happening.open_disk(self.folder / f"{stage}-{disaster}-{number}".replace(" ", "-")) as disk:
            root = disk / "workspace"
            shutil.copytree(self.material.workspace.root, root)
            happening.settle(root)
            trial = Trial(root, STAGES[stage](self.material, Workspace(root)), random)
            moment = random.randint(1, int(0.95 * moments))
            if number == 2 and happening.strikes_after_the_end:
                moment = AFTER_THE_END
            process = WorkerProcess(trial.job, moment, happening.prepare(trial))
            happening.wait(trial, process)
            assert process.is_struck, "the work was done before the disaster"
            self.counts[disaster] += 1
            return self.finish(stage, trial, expected)

    def finish(self, stage: str, trial: Trial, expected: Results) -> str:
        for _ in range(STARTS):
            trial.job = job = STAGES[stage](self.material, Workspace(trial.root))
            trial.assert_times_are_possible()
            status = WorkerProcess(job).wait()
            trial.assert_explained()
            trial.assert_times_are_possible()
            if status == 0:
                found = collect(job)
                names = found.keys() | expected.keys()
                return ", ".join(name for name in names if found.get(name) != expected.get(name))
        return f"it does not end: {job.read_status()}"


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("laboratory")
    clock = build_clock(folder)
    start_forking({"OMP_NUM_THREADS": "1"} | ({"LD_PRELOAD": str(clock)} if clock else {}))
    laboratory = Laboratory(folder, has_clock=clock is not None)
    yield laboratory
    print("\ntrials:", ", ".join(f"{name} {count}" for name, count in laboratory.counts.items()))  # noqa: T201


@pytest.mark.long
@pytest.mark.parametrize("disaster", DISASTERS)
@pytest.mark.parametrize("stage", STAGES)
def test_stage_ends_bit_identical_after_a_disaster(laboratory, stage, disaster):
    if disaster.startswith("clock") and not laboratory.has_clock:
        pytest.skip("a C compiler is missing")
    outcomes = {number: laboratory.try_out(stage, disaster, number) for number in range(TRIALS)}
    assert not any(outcomes.values()), outcomes
