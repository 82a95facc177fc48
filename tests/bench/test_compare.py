"""Comparisons of fifty and two hundred runs on as many test images as CBIS-DDSM has."""

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


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize(("count", "seconds"), [(50, 5), (200, 12)])
def test_runs_are_compared_in_seconds(workspace, count, seconds):
    make_large_dataset(workspace)
    runs = [
        write_trained_run(workspace, skill=2 + share, noise_seed=number, dropout=share / 2)
        for number, share in enumerate(np.arange(count) / count)
    ]
    run = find_or_create_job(workspace, "compare", {"runs": [one.id for one in runs]})
    begun = time.process_time()  # one process, whose time others must not lengthen
    events = list(compare(load_settings(run), run))
    took = time.process_time() - begun
    result = next(event.values for event in events if isinstance(event, Result))
    assert len(result["pairs"]) == count * (count - 1) / 2
    report(f"comparison of {count} runs, CPU", took, at_most=seconds)
