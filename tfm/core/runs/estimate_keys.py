"""The keys of the estimate cache: what must agree for two trainings to have the same cost or pace."""

from __future__ import annotations

from tfm.core.runs.estimate_cache import make_key, make_machine_key
from tfm.core.runs.works import Work
from tfm.core.runs.workspace import Workspace

# The settings that decide which network is built.
NETWORK_SETTINGS = (
    *("architecture", "backbone", "trained", "head", "max_pooling", "lesion_guidance", "freeze_batch_norm", "classes"),
)
# Those that change the time of an image besides: runs that agree in all of them have the same pace.
_PACE_SETTINGS = ("batch_size", "accumulate", "augment", "channels_last", "compile", "two_views", "tile", "ema")


def find_architecture(work: Work) -> str:
    return str(work.get("architecture") or work.get("backbone") or "")


def find_input_size(work: Work, size: tuple[int, int]) -> tuple[int, int]:
    tile = work.get("tile")
    return (tile, tile) if tile else size


def make_network_key(work: Work, size: tuple[int, int]) -> str:
    in_colour = work.get("weights") == "imagenet"
    values = {name: work.values[name] for name in NETWORK_SETTINGS if name in work.values}
    return make_key(work.command, values, in_colour, find_input_size(work, size))


def find_machine_key(work: Work) -> str:
    return make_machine_key(str(work.get("device", "auto")), work.get("threads", "auto"), work.get("precision", "fp32"))


def make_pace_key(work: Work, size: tuple[int, int]) -> str:
    values = {name: work.values[name] for name in _PACE_SETTINGS if name in work.values}
    values |= {name: work.values[name] for name in ("devices", "nodes") if work.get(name, 1) > 1}
    return make_key(make_network_key(work, size), values, size, find_machine_key(work))


def make_plan_key(workspace: Workspace, work: Work) -> str:
    return make_key(str(workspace.root), work.command, dict(work.values))
