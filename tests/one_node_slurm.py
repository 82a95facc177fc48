"""A real Slurm of one node on this machine, for the tests: its configuration, its daemons and their folder."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tfm.core import files
from tfm.core.machine import read_memory_gib
from tfm.core.runs.workspace import Workspace

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=10
MessageTimeout=5
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldPort={controller_port}
SlurmdPort={node_port}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes={host} MaxTime=1 State=UP
"""


def is_installed() -> bool:
    return os.geteuid() == 0 and all(shutil.which(program) for program in PROGRAMS)


@dataclass(frozen=True)
class OneNodeSlurm:
    folder: Path

    def start_controller(self) -> None:
        _run("slurmctld")
        wait_until(lambda: "idle" in _read("sinfo", "--noheader", "--format=%T"))

    def stop_controller(self) -> None:
        _stop(self.folder / "slurmctld.pid")

    @contextlib.contextmanager
    def occupied(self) -> Iterator[None]:
        """Let jobs wait: another one uses the whole node."""
        command = ["sbatch", "--parsable", "--exclusive", f"--chdir={self.folder}", "--wrap", "sleep 600"]
        number = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
        wait_until(lambda: "RUNNING" in _read("squeue", f"--jobs={number}", "--noheader", "--format=%T"))
        try:
            yield
        finally:
            _run("scancel", number)

    @contextlib.contextmanager
    def close(self) -> Iterator[None]:
        """Close the partition: jobs enter the queue and do not start."""
        _run("scontrol", "update", "PartitionName=main", "State=DOWN")
        try:
            yield
        finally:
            _run("scontrol", "update", "PartitionName=main", "State=UP")

    def send_signal(self, name: str) -> None:
        """Send a signal to all processes of all jobs, as Slurm does at a preemption."""
        _run("scancel", f"--signal={name}", "--user=root")

    def count_jobs(self) -> int:
        """The jobs that wait or run."""
        return len(_read("squeue", "--noheader", "--array").splitlines())


@contextlib.contextmanager
def run_slurm(folder: Path) -> Iterator[OneNodeSlurm]:
    """Run the daemons. All of Slurm's commands in this process and its children find them by SLURM_CONF."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    ports = _find_free_ports(2)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            cores=os.cpu_count(),
            memory=int((read_memory_gib() or 4) * 1024 * 0.8),
            controller_port=ports[0],
            node_port=ports[1],
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        files = {"key": key, "socket": "munge.sock", "pid": "munged.pid", "log": "munged.log", "seed": "munged.seed"}
        flags = [f"--{name}{'' if name == 'socket' else '-file'}={folder / file}" for name, file in files.items()]
        _run("munged", "--force", *flags)
        slurm = OneNodeSlurm(folder)
        try:
            _run("slurmd")
            slurm.start_controller()
            yield slurm
        finally:
            subprocess.run(["scancel", "--user=root"], check=False, timeout=30)
            for name in ("slurmd", "slurmctld", "munged"):
                _stop(folder / f"{name}.pid")


def write_cluster(workspace: Workspace, **settings) -> None:
    """Set up a cluster called `ours`."""
    folder = workspace.root / "clusters"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": "Ours", "about": "The cluster down the hall.", "stage": "slurm", "settings": settings}
    files.write_yaml(folder / "ours.yaml", content)


def wait_until(is_true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def _find_free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30, stdout=subprocess.DEVNULL)


def _read(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout


def _stop(pid_file: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 15)
