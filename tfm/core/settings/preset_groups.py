"""The groups of the models, in the order in which a person chooses: configs/menu.yaml says them."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from tfm.core import files
from tfm.core.settings.presets import CONFIGS

CLASSIC = "The classic ten"
OWN = "Your own"


def group_models(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort the names of models into groups. Those that configs/menu.yaml does not name are the user's own."""
    offered = list(names)
    groups = {title: [name for name in known if name in offered] for title, known in _read_groups().items()}
    named = {name for group in groups.values() for name in group}
    groups[OWN] = [name for name in offered if name not in named]
    return {title: group for title, group in groups.items() if group}


@functools.cache
def _read_groups() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = files.read_yaml(CONFIGS / "menu.yaml")["models"]
    return groups
