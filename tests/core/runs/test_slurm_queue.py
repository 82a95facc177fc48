"""What Slurm said last is not believed for long."""

import time

import pytest

from tfm.core import files
from tfm.core.runs import slurm_queue


def test_slurm_is_asked_again_after_the_clock_was_set_back(tmp_path, monkeypatch):
    command = tmp_path / "squeue"
    command.write_text("#!/bin/sh\n")  # an empty queue
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm_queue.forget_reading()
    assert slurm_queue.does_answer()
    command.unlink()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    assert not slurm_queue.does_answer()
    slurm_queue.forget_reading()


@pytest.mark.parametrize("jobs", [{}, {"run": "7" * 300}, {"run": "../5"}, {"run": 5}])
def test_a_placement_without_usable_jobs_is_none(tmp_path, jobs):
    files.write_json(tmp_path / "slurm.json", {"cluster": "ours", "jobs": jobs})
    assert slurm_queue.read_placement(tmp_path) is None
