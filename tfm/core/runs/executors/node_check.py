"""A real job that says what a node of a cluster has, and whether it sees the workspace."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tfm.core import files, machine
from tfm.core.errors import RunError
from tfm.core.runs import slurm_queue
from tfm.core.runs.executors.slurm import SlurmCluster
from tfm.core.runs.resources import Resources
from tfm.core.runs.workspace import Workspace

_POLL_SECONDS = 0.5
_SHARED_DISK_SECONDS = 10.0  # until a file of a node is seen here
_DESCRIBE_TORCH = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available(), sep='|')"


@dataclass(frozen=True)
class NodeReport:
    node: str
    python: str
    torch: str  # its version, or why it cannot be imported
    cuda: str  # the version that torch was built for, if any
    has_gpu: bool  # whether torch can use a GPU
    device: str


class DescribeNode:
    """Called by submitit on the node."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> None:
        answer = subprocess.run([sys.executable, "-c", _DESCRIBE_TORCH], capture_output=True, text=True, check=False)
        last_line = (answer.stdout or answer.stderr).strip().rpartition("\n")[2]
        torch, cuda, has_gpu = last_line.split("|") if answer.returncode == 0 else (last_line, "None", "False")
        version, cuda = platform.python_version(), cuda.replace("None", "")
        report = NodeReport(socket.gethostname(), version, torch, cuda, has_gpu == "True", machine.describe_device())
        files.write_json(Path(self.folder) / "node.json", asdict(report))


def check_node(workspace: Workspace, cluster: SlurmCluster, seconds: float = 300.0) -> NodeReport:
    """Run a job that writes its report into the workspace. Raises RunError if none is seen in time."""
    shape = Resources(uses_gpu=True)
    cluster.check([shape])
    workspace.create_folder()
    folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=workspace.root))
    report = folder / "node.json"
    (number,) = cluster.submit_calls(folder, "doctor", [DescribeNode(str(folder))], shape)
    deadline = time.monotonic() + seconds
    queued = slurm_queue.look_up(number)
    while not report.exists() and queued.state != "ended" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        queued = slurm_queue.look_up(number)
    deadline = time.monotonic() + _SHARED_DISK_SECONDS
    while queued.state == "ended" and not report.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if report.exists():
        found = NodeReport(**files.read_json(report))
        shutil.rmtree(folder, ignore_errors=True)
        return found
    if queued.state == "ended":
        raise RunError(
            f"the job {number} ended, but its report is not in {folder}: {queued.words}",
            hint=f"the nodes must see {workspace.root} under the same path, and Python must start there; correct "
            f"{cluster.file}, and see the files in {folder}",
        )
    subprocess.run(["scancel", number], check=False, capture_output=True)
    raise RunError(
        f"the job {number} did not start in {seconds:.0f} seconds: {queued.words}",
        hint=f"try again when the cluster is less busy, or ask for less in {cluster.file}",
    )
