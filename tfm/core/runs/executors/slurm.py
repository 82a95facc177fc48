"""A Slurm cluster as an executor: one job of Slurm for each step, submitted through submitit."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfm.core import registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.python_path import build_python_path
from tfm.core.runs import slurm_queue
from tfm.core.runs.cluster import load_cluster
from tfm.core.runs.executors.executor import StartedJob
from tfm.core.runs.executors.slurm_job import SIGNAL_VARIABLE, STOP_SIGNAL, SlurmJob
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.resources import Resources, read_resources, read_step_resources
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import CLUSTER_VARIABLE, RUN, Placement
from tfm.core.runs.workspace import Workspace

_MOST_REQUEUES = 10_000
_SBATCH_TIMEOUT_SECONDS = 60.0


class SlurmCluster:
    def __init__(self, workspace: Workspace, name: str) -> None:
        self.name = name
        self.file = workspace.load_preset("clusters", name).file
        self.cluster = load_cluster(workspace, name)

    def check(self, shapes: Iterable[Resources]) -> None:
        """Ask Slurm whether it would accept jobs of these shapes. Nothing is submitted."""
        if shutil.which("sbatch") is None:
            raise SettingsError(
                f"this machine cannot submit to the cluster {self.name}: sbatch was not found",
                hint="start it on a login node of the cluster, where Slurm's commands are",
            )
        for shape in dict.fromkeys(shapes):
            flags = [f"--{name.replace('_', '-')}={value}" for name, value in self._build_request(shape).items()]
            self._call(["sbatch", "--test-only", *flags, "--wrap", "true"])

    def submit(self, job: Run | Plan) -> StartedJob:
        before = job.read_recorded_status()
        steps = _list_steps(job)
        statuses = job.read_step_statuses() if isinstance(job, Plan) else {}
        left = [step for step in steps if step.name not in statuses or statuses[step.name].state != "done"]
        if job.is_alive() or not left:
            return StartedJob(job)
        shapes = _read_shapes(job, left)
        self.check(shapes.values())
        job.withdraw_pause()
        # Before the first job can start, which also writes the status of a run.
        job.update(state="running" if isinstance(job, Plan) else "waiting", message="", hint="")
        jobs: dict[str, str | None] = dict.fromkeys(step.name for step in steps)
        try:
            for group in _group_steps(left, shapes):
                needed = sorted(filter(None, (jobs[name] for name in group[0].find_needed_steps())))
                calls = [SlurmJob(str(job.folder), step.name if isinstance(job, Plan) else None) for step in group]
                numbers = self.submit_calls(job.folder / "slurm", job.id, calls, shapes[group[0].name], needed)
                jobs |= dict(zip((step.name for step in group), numbers, strict=True))
                slurm_queue.write_placement(job.folder, Placement(self.name, jobs))
        except RunError:
            if submitted := [*filter(None, jobs.values())]:
                self._call(["scancel", *submitted])
            job.update(state=before.state, message=before.message, hint=before.hint)
            raise
        return StartedJob(job)

    def pause(self, job: Run | Plan) -> None:
        """What runs pauses itself; what waits is cancelled."""
        queued = slurm_queue.look_up_placement(job.folder) or {}
        job.request_pause()
        self._cancel(job, "--state=PENDING")
        if isinstance(job, Plan) or any(one.state == "waiting" for one in queued.values()):
            job.update(state="paused", message="", hint="")

    def cancel(self, job: Run | Plan) -> None:
        self._cancel(job)

    def _cancel(self, job: Run | Plan, *flags: str) -> None:
        placement = slurm_queue.read_placement(job.folder)
        assert placement is not None, "this executor was found by the placement"
        queued = placement.look_up_jobs()
        alive = [number for step, number in placement.jobs.items() if number and queued[step].state != "ended"]
        if alive:
            self._call(["scancel", *flags, *alive])
            slurm_queue.forget_reading()

    def submit_calls(
        self, folder: Path, name: str, calls: Sequence[Callable[[], None]], shape: Resources, needed: Iterable[str] = ()
    ) -> list[str]:
        """Submit what needs the same resources and the same earlier jobs: one job of Slurm, or an array. The folder
        keeps the files of submitit."""
        os.environ[SIGNAL_VARIABLE] = STOP_SIGNAL  # submitit reads it when it is imported
        import submitit  # costs a quarter of a second

        dependency = {"dependency": ":".join(["afterok", *needed]), "kill-on-invalid-dep": "yes"} if needed else {}
        executor = submitit.SlurmExecutor(folder, _MOST_REQUEUES, python=self.cluster.python)
        executor.update_parameters(
            job_name=name,
            signal_delay_s=self.cluster.signal_seconds,
            setup=self._build_setup(),
            # The task is on the first node alone, and srun does not read the number of cores from the job.
            srun_args=["-N1", "-n1", f"--cpus-per-task={self.cluster.cpus}"],
            additional_parameters={"requeue": True, **dependency},
            **self._build_request(shape),
        )
        slurm_queue.forget_reading()
        try:
            return [job.job_id for job in executor.submit_array(calls)]
        except submitit.core.utils.FailedJobError as error:
            raise self._build_refusal(str(error)) from None

    def _build_request(self, shape: Resources) -> dict[str, Any]:
        gpus = max(self.cluster.gpus, shape.processes) if shape.uses_gpu and self.cluster.gpus else 0
        cluster = self.cluster
        request = {
            "partition": cluster.partition,
            "account": cluster.account,
            "qos": cluster.qos,
            "constraint": cluster.constraint,
            "time": cluster.time,
            "nodes": shape.nodes,
            "cpus_per_task": cluster.cpus,
            "gpus_per_node": gpus or None,
            "mem": cluster.memory and f"{round(cluster.memory * 1024)}M",
        }
        return {name: value for name, value in request.items() if value is not None}

    def _build_setup(self) -> list[str]:
        path = shlex.quote(build_python_path()) + "${PYTHONPATH:+:$PYTHONPATH}"
        variables = {CLUSTER_VARIABLE: shlex.quote(self.name), SIGNAL_VARIABLE: STOP_SIGNAL, "PYTHONPATH": path}
        return [*self.cluster.setup, *(f"export {name}={value}" for name, value in variables.items())]

    def _call(self, command: list[str]) -> None:
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SBATCH_TIMEOUT_SECONDS)
            return
        except subprocess.CalledProcessError as error:
            if slurm_queue.does_answer():
                refusal = self._build_refusal(error.stderr)
                hint = f"{refusal.hint}; Slurm was asked: {shlex.join(command)}"
                raise RunError(refusal.message, hint=hint) from None
        except (OSError, subprocess.TimeoutExpired):
            pass
        raise RunError(f"the cluster {self.name} does not answer {command[0]}", hint="try again when Slurm works")

    def _build_refusal(self, output: str) -> RunError:
        words = " ".join(output.replace("sbatch: error: ", "").replace("scancel: error: ", "").split())
        return RunError(
            f"the cluster {self.name} refuses this: {words}",
            hint=f"correct {self.file}, or wait if sinfo shows that its nodes are down",
        )


def _list_steps(job: Run | Plan) -> list[Step]:
    if isinstance(job, Plan):
        return job.read_steps()
    return [Step(RUN, job.read_stage())]


def _read_shapes(job: Run | Plan, steps: list[Step]) -> dict[str, Resources]:
    if isinstance(job, Plan):
        return read_step_resources(job.workspace, steps)
    return {RUN: read_resources(registry.find_stage(job.read_stage()), load_settings(job))}


def _group_steps(steps: list[Step], shapes: dict[str, Resources]) -> list[list[Step]]:
    """Group the steps that need the same steps and resources, in an order in which they can be submitted."""
    groups: dict[Any, list[Step]] = {}
    for step in steps:
        groups.setdefault((frozenset(step.find_needed_steps()), shapes[step.name]), []).append(step)
    return list(groups.values())
