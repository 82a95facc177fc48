"""A run that several processes share: torchrun starts them, and the first one sends its events through a pipe.

What the processes do is in training/distributed.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

from tfm.core import errors, files, machine
from tfm.core.events import Event, Note, Progress, parse_record
from tfm.core.runs.resources import Resources
from tfm.core.runs.run import Run
from tfm.core.settings import presets

SHARED_FOLDER = "TFM_SHARED_FOLDER"  # environment variable: a folder of the processes of one node
STOP_FILE = "TFM_STOP_FILE"  # environment variable: the first process stops at its next event once this file exists
_LOOK_SECONDS = 1.0
_RESUMABLE = "the training can be resumed from its last checkpoint"
# The signal at a time limit reaches all processes of a job of Slurm, and must not end them.
_ON_EACH_NODE = ("sh", "-c", 'trap "" USR1; PET_NODE_RANK=$SLURM_PROCID exec "$@"', "sh")


def generate_events(run: Run, resources: Resources) -> Iterator[Event]:
    """Yield the events of the first process. Closing the generator stops all processes after their current step."""
    with tempfile.TemporaryDirectory() as folder:
        stop, error_file, has_begun = Path(folder) / "stop", Path(folder) / "error.json", False
        arguments = _build_arguments(run, resources, folder)
        in_slurm = resources.nodes > 1 and "SLURM_JOB_ID" in os.environ
        # This process is a task on one node: without the numbers, srun would start its tasks there.
        srun = ("srun", "--overlap", f"-N{resources.nodes}", f"-n{resources.nodes}", *_ON_EACH_NODE)
        for node in range(1, 1 if in_slurm else resources.nodes):
            yield Note(
                f"now start, in the program's folder on node {node + 1} of {resources.nodes}: "
                f"torchrun --node-rank {node} {shlex.join(arguments)}"
            )
        cores = machine.count_cores()
        if resources.processes > max(cores, len(machine.find_nvidia_gpus())):
            yield Note(f"{resources.processes} processes share {cores} CPU cores: fewer are faster", level="warning")
        with subprocess.Popen(
            [*(srun if in_slurm else ()), sys.executable, "-P", "-m", "torch.distributed.run", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_build_environment(resources, folder)
            | {STOP_FILE: str(stop), "TORCHELASTIC_ERROR_FILE": str(error_file)},
            cwd=presets.PROJECT,
        ) as process:
            threading.Thread(target=_close_input_at_end, args=(process,), daemon=True).start()
            assert process.stdout is not None
            try:
                count = resources.nodes * resources.processes
                while not wait([process.stdout.fileno()], _LOOK_SECONDS):
                    yield Progress("starting the processes", 0, count, "processes")
                for line in process.stdout:
                    if not has_begun:
                        yield Progress("starting the processes", count, count, "processes")
                    has_begun = True
                    yield parse_record(json.loads(line))
            except GeneratorExit:
                stop.touch()
                process.stdout.read() if has_begun else process.terminate()
                raise
        if process.returncode:
            raise _build_error(error_file, run.log_file)


def _build_error(error_file: Path, log: Path) -> errors.TFMError:
    """The error of the process that failed first. A killed process leaves no file."""
    if not error_file.exists():
        return errors.HaltedError(
            "a process of this training was killed or has crashed",
            hint=f"{_RESUMABLE}; if nobody ended that process, its machine may have run out of memory, or {log} says "
            "more",
        )
    error = files.read_json(error_file)
    if "kind" in error:
        kind: type[errors.TFMError] = getattr(errors, error["kind"], errors.TFMError)
        return kind(error["message"], hint=error["hint"])
    words = error["message"]["message"]  # of torchrun itself
    if "timed out" in words.lower() or "timeout" in words.lower():
        return errors.HaltedError(
            "the nodes of this training did not find each other in time",
            hint=f"{_RESUMABLE}; start the printed command on each of the other nodes, which must reach this one by "
            "its host name",
        )
    return errors.HaltedError(f"torchrun failed: {words}", hint=f"{_RESUMABLE}; the details are in {log}")


def _close_input_at_end(process: subprocess.Popen[bytes]) -> None:
    """End the processes of a torchrun that has died: they share its standard input."""
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _build_arguments(run: Run, resources: Resources, folder: str) -> list[str]:
    """The arguments of torchrun. One node meets over files, so that nothing listens; several over a port."""
    if resources.nodes == 1:
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{folder}/nodes", "--rdzv-conf", "store_type=file"]
    else:
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        meeting = ["--master-addr", socket.gethostname(), "--master-port", str(port)]
    return [
        *("--nnodes", str(resources.nodes), "--nproc-per-node", str(resources.processes), *meeting),
        *("--monitor-interval", "0.1", "-m", "tfm.training.distributed.rank", str(run.folder)),
    ]


def _build_environment(resources: Resources, folder: str) -> dict[str, str]:
    threads = str(max(1, machine.count_cores() // resources.processes))
    environment = {"OMP_NUM_THREADS": threads} | os.environ
    if resources.nodes > 1:
        return environment
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    return environment | {
        SHARED_FOLDER: folder,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # which would listen on all interfaces
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }
