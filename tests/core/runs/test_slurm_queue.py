"""What Slurm said last is not believed for long."""

import time

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
