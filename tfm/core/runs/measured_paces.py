"""The pace of finished runs on this machine, read from their events."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterable

from tfm.core import files
from tfm.core.errors import TFMError
from tfm.core.events import Event, Metrics, Progress, StateChange
from tfm.core.runs import lookup
from tfm.core.runs.estimate_cache import EstimateCache, name_device
from tfm.core.runs.estimate_keys import make_pace_key
from tfm.core.runs.run import Run
from tfm.core.runs.work_costs import TRAININGS, count_trained
from tfm.core.runs.works import Work, count_images, read_image_size, read_run_work
from tfm.core.runs.workspace import Workspace

_FINAL = ("done", "failed", "pruned", "damaged")


def harvest_paces(workspace: Workspace) -> None:
    """Save the pace of the finished runs that were not read before. Of equal runs, the newest counts."""
    root = str(workspace.root)
    known = set(EstimateCache.load().harvested.get(root, []))
    found: dict[str, dict[str, float]] = {}
    read = []
    for run, status in lookup.read_runs(workspace):
        if run.id not in known and status.state in _FINAL:
            read.append(run.id)
            if status.state == "done" and (pace := _read_pace(workspace, run)):
                found |= pace
    if read:
        with EstimateCache.change() as cache:
            cache.paces.update(found)
            cache.harvested[root] = sorted(known | set(read))


def _read_pace(workspace: Workspace, run: Run) -> dict[str, dict[str, float]] | None:
    """The pace by its key; None for a run of another machine or device, of other data or of another kind."""
    try:
        stage, facts = run.read_stage(), run.read_environment()
        if stage not in TRAININGS or facts.get("host") != socket.gethostname() or "resumed_with" in facts:
            return None
        work = read_run_work(run)
        manifest = workspace.dataset_folder(str(work.get("dataset"))) / "manifest.csv"
        size = read_image_size(workspace, work)
        if size is None or files.compute_sha256(manifest) != facts.get("dataset_hash"):
            return None
        is_cpu = str(facts.get("device", "")).startswith("cpu")
        if is_cpu != (name_device(str(work.get("device", "auto"))) == "CPU"):
            return None
        work = Work(work.name, work.command, {**work.values, "threads": facts["threads"]})
        pace = measure_pace(work, run.read_events_from(0)[0], workspace)
    except (TFMError, OSError, ValueError, KeyError):
        return None
    return {make_pace_key(work, size): pace} if pace else None


def measure_pace(work: Work, events: Iterable[tuple[float, Event]], workspace: Workspace) -> dict[str, float] | None:
    """Seconds for each image, from the median epoch. An epoch that was interrupted does not count."""
    counts = count_images(workspace, work)
    if work.get("trained") == "none" or work.command == "pretrain" or not (counts.train and counts.val):
        return None
    trained, evaluated = [], []
    began: float | None = None
    ended: float | None = None
    for time, event in events:
        if isinstance(event, StateChange) or (isinstance(event, Progress) and event.name == "epoch"):
            began, ended = (time if isinstance(event, Progress) else None), None
        elif isinstance(event, Progress) and event.name == "step" and event.done == event.total:
            ended = time
        elif isinstance(event, Metrics) and began is not None and ended is not None:
            trained.append(ended - began)
            evaluated.append(time - ended)
    if not trained:
        return None
    return {
        "trained": statistics.median(trained) / max(count_trained(work, counts), 1),
        "evaluated": statistics.median(evaluated) / counts.val,
    }
