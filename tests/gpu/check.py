"""Run all groups of checks within the time limit and print one Markdown table. The exit status is 1 if one failed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.gpu.checks import FAILED, HEADER, NOT_RUN, Row, choose_scale
from tests.gpu.groups import GROUPS

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 8 * 60 - 15  # the rest is for stopping what still runs
SECONDS_TO_STOP = 10


def main() -> int:
    scale = choose_scale()
    started = time.monotonic()
    device = torch.cuda.get_device_name(scale.device) if scale.is_gpu else f"CPU, {torch.get_num_threads()} threads"
    write(f"{device}, PyTorch {torch.__version__}\n\n{HEADER}")
    bad = []
    for group, list_checks in GROUPS.items():
        for row in run_group(group, [check.name for check in list_checks(scale)], started + SECONDS):
            write(row.to_markdown())
            bad += [row.name] if row.is_bad else []
    write(f"\n{time.monotonic() - started:.0f} seconds")
    if bad:
        sys.stderr.write("\n  ".join([f"{len(bad)} checks were not passed:", *bad]) + "\n")
    return 1 if bad else 0


def write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_group(group: str, names: list[str], deadline: float) -> Iterator[Row]:
    """Run the checks in a process that is replaced after a failure, which may have spoiled its GPU context."""
    done = 0
    while done < len(names) and time.monotonic() < deadline:
        started, before = time.monotonic(), done
        with start_process(group, done, deadline) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield Row(**json.loads(line))
                done += 1
            status = process.wait()
        if time.monotonic() >= deadline:
            break
        if done < len(names) and (status or done == before):
            seconds = time.monotonic() - started
            yield Row(names[done], f"the process ended with status {status}", "", FAILED, seconds)
            done += 1
    for name in names[done:]:
        yield Row(name, "out of time", "", NOT_RUN, 0)


@contextlib.contextmanager
def start_process(group: str, first: int, deadline: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.gpu.run_group", group, str(first)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    timer = threading.Timer(max(deadline - time.monotonic(), 0), stop_process, [process])
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        stop_process(process)


def stop_process(process: subprocess.Popen[str]) -> None:
    """Let the process end its own workers, then kill it and its children."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_STOP)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
