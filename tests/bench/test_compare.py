"""The comparison of fifty runs on as many test images as CBIS-DDSM has."""

import time

import numpy as np
import pytest

from tests.analysis.written_runs import write_trained_run
from tests.bench.large_dataset import make_large_dataset
from tests.bench.rows import report
from tfm.core.events import Result
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.pipelines.compare import compare

DROPOUTS = np.arange(50) / 100


@pytest.mark.long
@pytest.mark.alone
def test_fifty_runs_are_compared_in_five_seconds(workspace):
    make_large_dataset(workspace)
    runs = [
        write_trained_run(workspace, skill=2 + share, noise_seed=number, dropout=share)
        for number, share in enumerate(DROPOUTS)
    ]
    run = find_or_create_job(workspace, "compare", {"runs": [one.id for one in runs]})
    started, used = time.perf_counter(), time.process_time()
    events = list(compare(load_settings(run), run))
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    result = next(event.values for event in events if isinstance(event, Result))
    assert len(result["pairs"]) == 50 * 49 / 2
    report("comparison of 50 runs, CPU", cpu)
    report("comparison of 50 runs", seconds, at_most=5)
