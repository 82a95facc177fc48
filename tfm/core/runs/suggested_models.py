"""Which models suit the data and this machine, each with the reason in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfm.core import machine
from tfm.core.runs.estimate_cache import name_device
from tfm.core.runs.estimates import Estimate
from tfm.core.runs.works import Work, count_images, list_starts
from tfm.core.runs.workspace import Workspace

_LONGEST_HOURS = {"CPU": 12.0, "GPU": 24.0}
_ENOUGH_IMAGES = 800  # for a network that starts from random weights
_MEMORY_SHARE = 0.8


def suggest_models(
    workspace: Workspace, stage: str, estimates: Mapping[str, Estimate], given: Mapping[str, Any]
) -> dict[str, str]:
    """Map each suggested preset to the reason, the quickest first. Nothing that cannot start here is suggested.

    Args:
        estimates: of the presets to choose from, by `read_estimates`.
    """
    works = list_starts(workspace, stage, list(estimates), given)
    fitting = {name: works[name] for name, one in estimates.items() if name in works and _fits(works[name], one)}
    kinds: list[tuple[Callable[[Work], bool], str]] = [
        (_is_frozen, "The quickest one: no layer is trained, which is the baseline to beat."),
        (_is_fine_tuned, "Starts from ImageNet weights and trains all layers; random weights need more images."),
    ]
    if any(count_images(workspace, work).train >= _ENOUGH_IMAGES for work in fitting.values()):
        reason = "Starts from random weights: it shows what the mammograms alone can teach."
        kinds.append((_is_from_scratch, reason))
    return dict(_choose_quickest(fitting, estimates, kinds))


def _choose_quickest(
    works: Mapping[str, Work], estimates: Mapping[str, Estimate], kinds: list[tuple[Callable[[Work], bool], str]]
) -> Iterator[tuple[str, str]]:
    for belongs, reason in kinds:
        names = [name for name, work in works.items() if belongs(work)]
        if names:
            yield min(names, key=lambda name: (estimates[name].seconds or float("inf"), name)), reason


def _is_frozen(work: Work) -> bool:
    return work.command == "train" and work.get("trained") == "none" and not _needs_masks(work)


def _is_fine_tuned(work: Work) -> bool:
    is_plain = work.command == "train" and not _needs_masks(work) and not work.get("two_views")
    return is_plain and work.get("trained") == "all" and work.get("weights") == "imagenet"


def _is_from_scratch(work: Work) -> bool:
    return work.command == "train" and work.get("trained") == "all" and work.get("weights") == "none"


def _needs_masks(work: Work) -> bool:
    return bool(work.get("lesion_guidance", "none") != "none")


def _fits(work: Work, estimate: Estimate) -> bool:
    """Whether it can start here and ends in good time. What is not known yet speaks for a model with weights here."""
    on_cpu = name_device(str(work.get("device", "auto"))) == "CPU"
    whole = machine.read_memory_gib() if on_cpu else machine.find_nvidia_gpus()[0].memory_gib
    if estimate.problem or (estimate.memory_gib or 0) > _MEMORY_SHARE * (whole or float("inf")):
        return False
    hours = _LONGEST_HOURS["CPU" if on_cpu else "GPU"]
    if estimate.seconds is None:
        return estimate.weights in ("none", "ImageNet, here")
    return estimate.seconds <= hours * 3600
