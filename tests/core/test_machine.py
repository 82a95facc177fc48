"""A container limit and a broken driver are taken into account."""

import os
import time

import pytest

from tfm.core import machine


def test_memory_is_limited_by_the_container(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "CONTAINER_LIMIT_FILES", (str(limit),))
    total = machine.read_memory_gib()
    assert total is not None
    for unlimited in ("max\n", f"{2**63 - 4096}\n"):
        limit.write_text(unlimited)
        assert machine.read_memory_gib() == total
    limit.write_text(f"{2**28}\n")
    assert machine.read_memory_gib() == 0.25


def test_a_driver_that_fails_or_hangs_means_no_gpu(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "DRIVER_TIMEOUT_SECONDS", 0.2)
    for script in ("exit 9", "sleep 5", "echo 'GB10, [N/A]'"):
        driver.write_text(f"#!/bin/sh\n{script}\n")
        driver.chmod(0o755)
        machine.find_nvidia_gpus.cache_clear()
        assert machine.find_nvidia_gpus() == ()
    machine.find_nvidia_gpus.cache_clear()


@pytest.mark.parametrize("days", [-1, 1])
def test_a_steady_clock_goes_on_when_the_clock_of_the_machine_is_set(monkeypatch, days):
    clock, now = machine.SteadyClock(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + days * 86400)
    first = clock.read()
    assert 0 <= first - now < 60
    assert clock.read() >= first
