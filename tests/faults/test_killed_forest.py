"""A forest killed with SIGKILL during extraction, fitting or writing ends bit-identical."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.forests import forest_run, head_run, workspace_with_a_head
from tests.training.results import flatten_learner
from tests.training.small_dataset import finish_run
from tfm.core.events import Progress
from tfm.training.embedding_classifier import load_learner

PROJECT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
import skops.io
from tfm.core.runs import worker
from tfm.training import frozen_features as features

moment, left = sys.argv[2], 3

def killed(write):
    def cut(*given):
        global left
        left -= 1
        if not left:
            write(*given)
            if moment == "writing":
                os.truncate(given[1], given[1].stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*given)
    return cut

features.SECONDS_BETWEEN_WRITES = 0
if moment == "extraction":
    features.write_all = killed(features.write_all)
elif moment == "trees":
    from sklearn.ensemble import RandomForestClassifier
    RandomForestClassifier.fit = killed(RandomForestClassifier.fit)
else:
    left = 1
    skops.io.dump = killed(skops.io.dump)
run = worker.open_job(Path(sys.argv[1]))
worker.execute_run(run, stopping=run)
"""


def read_predictions(run):
    return [run.predictions_file(split).read_bytes() for split in ("val", "test")]


@pytest.mark.long
@pytest.mark.parametrize("moment", ["extraction", "trees", "writing"])
def test_killed_forest_ends_bit_identical(tmp_path, moment):
    undisturbed = finish_run(forest_run(finish_run(head_run(workspace_with_a_head(tmp_path / "calm"))), trees=40))
    run = forest_run(finish_run(head_run(workspace_with_a_head(tmp_path / "killed"))), trees=40)
    command = [sys.executable, "-c", KILLED, str(run.folder), moment]
    process = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert run.read_status().state == "halted"
    assert not (run.checkpoints_folder / "learner.skops").exists()
    before = len(run.read_events())
    finish_run(run)
    extracted = [
        event.done for event in run.read_events()[before:] if isinstance(event, Progress) and "training" in event.name
    ]
    assert extracted == ([2, 3, 4] if moment == "extraction" else [])
    assert read_predictions(run) == read_predictions(undisturbed)
    learners = [load_learner(one.checkpoints_folder / "learner.skops", 96) for one in (run, undisturbed)]
    assert flatten_learner(learners[0]) == flatten_learner(learners[1])
    assert not list(run.checkpoints_folder.glob(".*.tmp"))
