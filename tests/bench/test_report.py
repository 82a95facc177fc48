"""A report of thirteen runs on as many images as CBIS-DDSM has: its time and its size."""

import time

import numpy as np
import pytest

from tests.analysis.written_runs import write_trained_run
from tests.bench.large_dataset import make_large_dataset
from tests.bench.rows import report as report_row
from tfm.core.events import Result
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.pipelines.report import report

DROPOUTS = np.arange(11) / 20


@pytest.mark.long
@pytest.mark.alone
def test_a_report_of_thirteen_runs_takes_thirty_seconds_and_fifteen_megabytes(workspace):
    make_large_dataset(workspace)
    runs = [write_trained_run(workspace, noise_seed=number, dropout=share) for number, share in enumerate(DROPOUTS)]
    runs += [write_trained_run(workspace, "MammoCNN", noise_seed=20 + seed, seed=seed) for seed in (1, 2)]
    run = find_or_create_job(workspace, "report", {"runs": [one.id for one in runs]})
    begun = time.process_time()  # one process, whose time others must not lengthen
    events = list(report(load_settings(run), run))
    seconds = time.process_time() - begun
    (page,) = next(event.outputs for event in events if isinstance(event, Result))
    megabytes = (workspace.root / page).stat().st_size / 1e6
    assert len(runs) == 13
    report_row("report of 13 runs, CPU", seconds, at_most=30)
    report_row("size of a report", megabytes, unit="MB", at_most=15)
