"""What is unusual or too much about a start: a person is asked about it before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfm.core import hints, machine
from tfm.core.errors import TFMError
from tfm.core.runs.estimate_cache import name_device
from tfm.core.runs.estimates import Estimate, add_estimates, read_estimates
from tfm.core.runs.works import Work, count_images, list_starts
from tfm.core.runs.workspace import Workspace

_RATES = (1e-6, 0.1)  # learning rates in use
_HIGHEST_SGD_RATE = 1.0
_MOST_EPOCHS, _MOST_RUNS, _MOST_TRIALS, _HIGHEST_DECAY = 1000, 100, 300, 1.0
_LONG_DAYS, _TOO_LONG_DAYS = 7, 28
_MEMORY_SHARE = 0.8  # of the machine's: more is close to its limit


@dataclass(frozen=True)
class Doubt:
    """`is_certain`: it cannot be meant, so it must be confirmed."""

    message: str
    hint: str
    is_certain: bool = False


def find_doubts(
    workspace: Workspace, stage: str, presets: Sequence[str], given: Mapping[str, Any], *, is_here: bool
) -> list[Doubt]:
    """What a person should look at before a start, the worst first. Costs that are not known yet raise no doubt.

    Args:
        is_here: Whether it runs on this machine, whose time and memory are known.
    """
    try:
        works = list_starts(workspace, stage, presets, given)
    except TFMError:  # the form reports it
        return []
    estimates = read_estimates(workspace, stage, presets, given)
    found = [*_doubt_costs(workspace, works, estimates, is_here=is_here)]
    for work in works.values():
        found += _doubt_values(workspace, work)
    return sorted(dict.fromkeys(found), key=lambda doubt: not doubt.is_certain)


def _doubt_values(workspace: Workspace, work: Work) -> Iterator[Doubt]:
    low, high = _RATES[0], _HIGHEST_SGD_RATE if work.get("optimizer") == "sgd" else _RATES[1]
    for name in ("learning_rate", "mim_learning_rate", "cls_learning_rate"):
        rate = work.get(name)
        if isinstance(rate, float) and not low <= rate <= high:
            yield Doubt(
                f"a learning rate of {rate:g} is far outside the usual ones, {_write_out(low)} to {_write_out(high)}",
                f"choose another {hints.setting(name)}",
            )
    for name in ("epochs", "mim_epochs", "cls_epochs"):
        epochs = work.get(name)
        if isinstance(epochs, int) and epochs > _MOST_EPOCHS:
            yield Doubt(f"{epochs:,} epochs are unusually many", f"choose fewer {hints.setting(name)}")
    if isinstance(decay := work.get("weight_decay"), float) and decay > _HIGHEST_DECAY:
        yield Doubt(f"a weight decay of {decay:g} leaves no weights", f"choose a lower {hints.setting('weight_decay')}")
    if isinstance(trials := work.get("trials"), int) and trials > _MOST_TRIALS:
        yield Doubt(f"{trials:,} trials are unusually many", f"choose fewer {hints.setting('trials')}")
    batch, images = work.get("batch_size"), count_images(workspace, work).train
    if isinstance(batch, int) and 0 < images < batch:
        yield Doubt(
            f"a batch of {batch:,} is larger than all {images:,} training images: an epoch is one step",
            f"choose a smaller {hints.setting('batch_size')}",
        )


def _write_out(number: float) -> str:
    """Such as 0.000001, without an exponent."""
    return f"{number:f}".rstrip("0").rstrip(".")


def _doubt_costs(
    workspace: Workspace, works: Mapping[str, Work], estimates: Mapping[str, Estimate], *, is_here: bool
) -> Iterator[Doubt]:
    together = add_estimates(list(estimates.values()))
    if together.runs > _MOST_RUNS:
        yield Doubt(f"these are {together.runs:,} runs", f"choose fewer models, {hints.setting('seeds')} or folds")
    for name, estimate in estimates.items():
        if estimate.problem and "not reachable" not in estimate.weights:  # a start refuses those by itself
            yield Doubt(estimate.problem, f"leave out {name}, or choose other images", is_certain=True)
        if is_here and estimate.memory_gib is not None and name in works:
            yield from _doubt_memory(name, estimate.memory_gib, str(works[name].get("device", "auto")))
    days = (together.seconds or 0) / 86400
    if is_here and days > _LONG_DAYS:
        yield Doubt(
            f"this takes about {days:,.0f} days on this machine",
            f"use smaller images, fewer models or fewer {hints.setting('epochs')}, or a machine with a GPU",
            is_certain=days > _TOO_LONG_DAYS,
        )
    needed, free = (together.disk_mb or 0) / 1024, machine.read_free_gib(workspace.root)
    if needed > free:
        yield Doubt(
            f"this needs about {needed:,.1f} GiB of disk space, and {free:,.1f} GiB are free in {workspace.root}",
            f"free some space, or choose another {hints.setting('workspace')}",
            is_certain=True,
        )


def _doubt_memory(name: str, needed: float, device: str) -> Iterator[Doubt]:
    is_cpu = name_device(device) == "CPU"
    whole = machine.read_memory_gib() if is_cpu else machine.find_nvidia_gpus()[0].memory_gib
    if whole is None or needed <= _MEMORY_SHARE * whole:
        return
    yield Doubt(
        f"{name} needs about {needed:.1f} GiB of memory, and {'this machine' if is_cpu else 'the GPU'} has {whole:.1f}",
        f"choose a smaller {hints.setting('batch_size')}, smaller images or another model",
        is_certain=needed > whole,
    )
