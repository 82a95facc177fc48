"""What a start would cost: time, memory, disk space and downloads of each model, before anything is started.

Nothing is computed here that takes long: a background process measures what is not known yet, see `probe`.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.core.python_path import build_python_path
from tfm.core.runs.estimate_cache import EstimateCache, name_device
from tfm.core.runs.estimate_keys import (
    find_input_size,
    find_machine_key,
    make_network_key,
    make_pace_key,
    make_plan_key,
)
from tfm.core.runs.first_weights import describe_weights, needs_weights_check
from tfm.core.runs.plan import Step
from tfm.core.runs.work_costs import (
    TRAININGS,
    Cost,
    Pace,
    Speed,
    compute_derived_seconds,
    compute_disk_mb,
    compute_memory_gib,
    compute_pace,
    compute_seconds,
    compute_study_seconds,
)
from tfm.core.runs.works import (
    Work,
    count_images,
    find_changes,
    list_starts,
    list_step_works,
    read_image_size,
    read_model_work,
    share_data,
)
from tfm.core.runs.workspace import Workspace

PROBE = "TFM_PROBE"  # environment variable: "off" measures nothing, for the login node of a cluster


@dataclass(frozen=True)
class Estimate:
    """None where something is not known (yet). With early stopping, it takes less time than that of all epochs."""

    seconds: float | None = None
    is_measured: bool = False  # by an earlier run of the same model; else scaled from a probe of other models
    memory_gib: float | None = None
    disk_mb: float | None = None
    download_mb: float = 0.0
    weights: str = ""  # in words; empty if it is not known yet which are used
    parameters: int | None = None
    problem: str | None = None  # why it cannot be started
    runs: int = 1


def read_estimates(
    workspace: Workspace, stage: str, presets: Sequence[str], given: Mapping[str, Any]
) -> dict[str, Estimate]:
    """Map each preset, or the stage if it has none, to what is known about it now."""
    asked = (stage, *presets, json.dumps(dict(given), default=str))
    try:
        return dict(_read_estimates(workspace.root, asked, find_changes(workspace), EstimateCache.find_last_change()))
    except TFMError as error:
        return {name: Estimate(problem=error.message) for name in presets or (stage,)}


@functools.lru_cache(maxsize=16)  # a screen that refreshes itself asks for the same again and again
def _read_estimates(
    root: Path, asked: tuple[str, ...], _changed: tuple[int, ...], _measured: int
) -> dict[str, Estimate]:
    stage, *presets, given = asked
    workspace, cache = Workspace(root), EstimateCache.load()
    works = list_starts(workspace, stage, presets, json.loads(given))
    return {name: _estimate_start(workspace, work, cache) for name, work in works.items()}


def add_estimates(estimates: Sequence[Estimate]) -> Estimate:
    """The cost of a queue. What is not known of one model is not known of the queue."""

    def combine(values: Sequence[float | None], how: Callable[[list[float]], float]) -> float | None:
        known = [value for value in values if value is not None]
        return how(known) if known and len(known) == len(values) else None

    return Estimate(
        seconds=combine([one.seconds for one in estimates], sum),
        is_measured=all(one.is_measured for one in estimates),
        memory_gib=combine([one.memory_gib for one in estimates], max),
        disk_mb=combine([one.disk_mb for one in estimates], sum),
        download_mb=sum({one.download_mb for one in estimates}),  # models with equal sizes share their weights
        weights=", ".join(dict.fromkeys(one.weights for one in estimates if one.weights)),
        parameters=None,
        problem=next((one.problem for one in estimates if one.problem), None),
        runs=sum(one.runs for one in estimates),
    )


def _estimate_start(workspace: Workspace, work: Work, cache: EstimateCache) -> Estimate:
    if isinstance(registry.find_command(work.command), registry.Stage):
        steps = [work]
    else:
        saved = cache.plans.get(make_plan_key(workspace, work))
        if saved is None:
            return Estimate()
        steps = list_step_works(workspace, [Step(**step) for step in saved])
    estimates: list[Estimate] = []
    trained = None  # the training whose network a later step reads
    for step in share_data(steps):
        trained = step if step.command in TRAININGS else trained
        estimates.append(_estimate_step(workspace, step, trained, cache))
    together = add_estimates(estimates)
    seconds = None if together.seconds is None else together.seconds * work.times
    disk = None if together.disk_mb is None else together.disk_mb * work.times
    return Estimate(
        seconds=seconds,
        is_measured=together.is_measured,
        memory_gib=max((one.memory_gib for one in estimates if one.memory_gib is not None), default=None),
        disk_mb=disk,
        download_mb=together.download_mb,
        weights=next((one.weights for one in estimates if one.weights not in ("", "none")), "none"),
        parameters=max((one.parameters for one in estimates if one.parameters), default=None),
        problem=together.problem,
        runs=together.runs * work.times,
    )


def _estimate_step(workspace: Workspace, work: Work, trained: Work | None, cache: EstimateCache) -> Estimate:
    """Args:
    trained: The training before it in its plan, whose network it may read.
    """
    if work.command not in TRAININGS and "model" in work.values:  # a study, whose trials are trainings of a model
        trial = _estimate_step(workspace, read_model_work(workspace, work), None, cache)
        speed, trials = _find_speed(work, cache), work.get("trials", 1)
        if trial.seconds is None or trial.disk_mb is None or speed is None:
            return trial
        seconds = compute_study_seconds(trial.seconds, speed.start, trials)
        return Estimate(**vars(trial) | {"seconds": seconds, "disk_mb": trial.disk_mb * trials})
    network = work if work.command in TRAININGS else trained
    where, download, problem = describe_weights(work, cache)
    if network is None:
        return Estimate(disk_mb=compute_disk_mb(work, None, count_images(workspace, work)))
    size, counts = read_image_size(workspace, network), count_images(workspace, network)
    cost = _find_cost(network, size, cache)
    speed = _find_speed(network, cache)
    known: dict[str, Any] = {"weights": where, "download_mb": download, "problem": problem}
    if cost is None or size is None:
        return Estimate(**known | {"problem": problem or _find_misfit(network, size, cache)})
    on_gpu = name_device(str(network.get("device", "auto"))) != "CPU"
    known |= {"parameters": cost.parameters, "disk_mb": compute_disk_mb(work, cost, counts)}
    known["memory_gib"] = compute_memory_gib(network, cost, speed, on_gpu=on_gpu)
    is_invalid = network.get("trained") != "none" and "epochs" not in network.values  # the start reports it
    if speed is None or is_invalid:
        return Estimate(**known)
    saved = cache.paces.get(make_pace_key(network, size))
    scaled = compute_pace(network, cost, speed, find_input_size(network, size), on_gpu=on_gpu)
    pace = Pace(**saved) if saved else scaled
    if work is network:
        seconds = compute_seconds(network, cost, pace, speed, counts, size)
    else:
        seconds = compute_derived_seconds(work, pace, speed.start, counts)
    return Estimate(seconds=seconds, is_measured=saved is not None, **known)


def _find_cost(work: Work, size: tuple[int, int] | None, cache: EstimateCache) -> Cost | None:
    values = cache.costs.get(make_network_key(work, size)) if size else None
    return Cost.parse(values) if values and "problem" not in values else None


def _find_misfit(work: Work, size: tuple[int, int] | None, cache: EstimateCache) -> str | None:
    """Why the network cannot be built for these images."""
    values = cache.costs.get(make_network_key(work, size), {}) if size else {}
    return values.get("problem")


def _find_speed(work: Work, cache: EstimateCache) -> Speed | None:
    values = cache.speeds.get(find_machine_key(work))
    return Speed.parse(values) if values else None


# --- the background process -------------------------------------------------------------------------------------------

_probes: list[subprocess.Popen[bytes]] = []
_newest_read: dict[Path, int] = {}  # by workspace: the newest change of a run when its runs were read
_last_asked: dict[tuple[Path, str], float] = {}
_RETRY_SECONDS = 60.0  # what could not be measured is tried again after that


def start_probe(workspace: Workspace, stage: str, presets: Sequence[str], given: Mapping[str, Any]) -> None:
    """Measure what is not known in the background. It may be called at every refresh: it starts one process at a time,
    which ends with this one."""
    if os.environ.get(PROBE) == "off" or is_measuring():
        return
    _probes.clear()
    asked = json.dumps({"stage": stage, "presets": list(presets), "given": dict(given)}, default=str)
    request = (workspace.root, asked)
    if time.monotonic() - _last_asked.get(request, -math.inf) < _RETRY_SECONDS:
        return
    try:
        is_known = not needs_probe(workspace, stage, presets, given)
    except TFMError:  # the form reports it
        return
    newest = max((file.stat().st_mtime_ns for file in workspace.runs_folder.glob("[!.]*/status.json")), default=0)
    if is_known and _newest_read.get(workspace.root, 0) == newest:
        return
    _newest_read[workspace.root], _last_asked[request] = newest, time.monotonic()
    _probes.append(
        subprocess.Popen(
            [sys.executable, "-P", "-m", "tfm.core.runs.probe", str(workspace.root), asked, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": build_python_path()},
            start_new_session=True,
        )
    )


def is_measuring() -> bool:
    return any(probe.poll() is None for probe in _probes)


def needs_probe(workspace: Workspace, stage: str, presets: Sequence[str], given: Mapping[str, Any]) -> bool:
    cache = EstimateCache.load()
    return any(list_unknown(workspace, work, cache) for work in list_starts(workspace, stage, presets, given).values())


def list_unknown(workspace: Workspace, work: Work, cache: EstimateCache) -> list[tuple[str, Work]]:
    """What must be measured before a start can be estimated: ("plan" | "cost" | "speed" | "weights", work)."""
    if not isinstance(registry.find_command(work.command), registry.Stage):
        saved = cache.plans.get(make_plan_key(workspace, work))
        if saved is None:
            return [("plan", work)]
        steps = list_step_works(workspace, [Step(**step) for step in saved])
        return [unknown for step in share_data(steps) for unknown in list_unknown(workspace, step, cache)]
    if work.command not in TRAININGS and "model" in work.values:
        return list_unknown(workspace, read_model_work(workspace, work), cache)
    size = read_image_size(workspace, work)
    if work.command not in TRAININGS or size is None:
        return []
    found = [("cost", work)] if make_network_key(work, size) not in cache.costs else []
    found += [("speed", work)] if find_machine_key(work) not in cache.speeds else []
    return found + ([("weights", work)] if needs_weights_check(work, cache) else [])
