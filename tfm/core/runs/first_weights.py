"""The weights that a training starts from: where they are, and whether they can be reached, before anything starts."""

from __future__ import annotations

import time
from pathlib import Path

from tfm.core import registry
from tfm.core.runs.estimate_cache import EstimateCache
from tfm.core.runs.estimate_keys import find_architecture
from tfm.core.runs.works import Work

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
    return not is_here and time.time() - found["checked"] > REACHABLE_SECONDS
