"""The weights that a training starts from: where they are, and whether they can be reached, before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tfm.core import hints, registry
from tfm.core.errors import WeightsError
from tfm.core.python_path import build_python_path
from tfm.core.runs.estimate_cache import EstimateCache
from tfm.core.runs.estimate_keys import find_architecture
from tfm.core.runs.plan import Step
from tfm.core.runs.works import Work, list_step_works, read_model_work
from tfm.core.runs.workspace import Workspace

REACHABLE_SECONDS = 60.0  # for which an answer about the hub stays valid


def describe_weights(work: Work, cache: EstimateCache) -> tuple[str, float, str | None]:
    """Where the first weights come from, how many MB must be downloaded, and why that is not possible."""
    weights = str(work.get("weights") or "none")
    if weights == "none":
        return "none", 0.0, None
    if weights != "imagenet":
        return ("of a run" if weights.startswith(("run:", "@")) else "from a file"), 0.0, None
    if is_packaged(work):
        return "ImageNet, here", 0.0, None
    found = cache.weights.get(find_architecture(work))
    if found is None:
        return "ImageNet", 0.0, None
    if found["file"] and Path(found["file"]).exists():
        return "ImageNet, here", 0.0, None
    if not found["is_reachable"]:
        return "ImageNet, not reachable", 0.0, found["advice"]
    return f"ImageNet, {found['mb']:.0f} MB", found["mb"], None


def is_packaged(work: Work) -> bool:
    """Whether an installed package brings the weights."""
    find_in_package = registry.import_object("tfm.models.packaged_weights:find_in_package")
    return bool(find_in_package(find_architecture(work)))


def needs_weights_check(work: Work, cache: EstimateCache) -> bool:
    if work.get("weights") != "imagenet" or is_packaged(work):
        return False
    found = cache.weights.get(find_architecture(work))
    if found is None:
        return True
    is_here = bool(found["file"]) and Path(found["file"]).exists()
    return not is_here and abs(time.time() - found["checked"]) > REACHABLE_SECONDS


def check_first_weights(workspace: Workspace, steps: Iterable[Step]) -> None:
    """Check that the ImageNet weights of every step can be reached, so that no queue fails at its third model."""
    works = [
        replace(read_model_work(workspace, work), name=work.name) if isinstance(work.get("model"), str) else work
        for work in list_step_works(workspace, steps)
    ]
    cache = EstimateCache.load()
    unknown = sorted({find_architecture(work) for work in works if needs_weights_check(work, cache)})
    if unknown:  # in another process: the library that knows where they are takes seconds to load
        subprocess.run(
            [sys.executable, "-P", "-m", "tfm.pipelines.probe", *unknown],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": build_python_path()},
            check=False,
        )
        cache = EstimateCache.load()
    problems = {work.name: problem for work in works if (problem := describe_weights(work, cache)[2])}
    if problems:
        networks = sorted({find_architecture(work) for work in works if work.name in problems})
        scratch, own = hints.setting("weights", "none"), hints.setting("weights", "file:PATH")
        raise WeightsError(
            f"the ImageNet weights of {', '.join(networks)} are not on this machine, and the Hugging Face hub does not "
            f"answer: {', '.join(problems)} cannot start",
            hint=f"{next(iter(problems.values()))}; leave {'it' if len(problems) == 1 else 'them'} out; or train "
            f"without them ({scratch}) or from a file ({own})",
            steps=tuple(problems),
        )
