"""The background process of `estimates`: `python -m tfm.core.runs.probe WORKSPACE REQUEST PID`.

It measures what the request needs and saves it, piece by piece. It ends early when the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfm.core.errors import TFMError
from tfm.core.registry import import_object
from tfm.core.runs.estimate_cache import EstimateCache
from tfm.core.runs.estimates import list_unknown
from tfm.core.runs.measured_paces import harvest_paces
from tfm.core.runs.works import Work, list_starts
from tfm.core.runs.workspace import Workspace

_NICENESS = 5  # other programs and running trainings come first


def measure(workspace: Workspace, stage: str, presets: list[str], given: dict[str, Any]) -> Iterator[str]:
    """Measure all that is not known, and yield the name of each piece once it is saved."""
    harvest_paces(workspace)
    yield "paces"
    in_vain: list[tuple[str, Work]] = []
    while unknown := [one for one in _list_all_unknown(workspace, stage, presets, given) if one not in in_vain]:
        kind, work = unknown[0]
        # Imported by name: it needs torch, which the first part of this process does without.
        learn: Callable[..., None] = import_object(f"tfm.pipelines.probe:learn_{kind}")
        with contextlib.suppress(TFMError):  # such as a GPU that another run uses
            learn(workspace, work)
        if (kind, work) in _list_all_unknown(workspace, stage, presets, given):
            in_vain.append((kind, work))
        yield kind


def _list_all_unknown(
    workspace: Workspace, stage: str, presets: list[str], given: dict[str, Any]
) -> list[tuple[str, Work]]:
    """In the order in which they are shown: what comes quickly is measured first."""
    cache = EstimateCache.load()
    works = list_starts(workspace, stage, presets, given).values()
    found = [unknown for work in works for unknown in list_unknown(workspace, work, cache)]
    return sorted(found, key=lambda one: ["cost", "weights", "speed", "plan"].index(one[0]))


def main() -> int:
    root, request, parent = sys.argv[1:]
    asked = json.loads(request)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    try:
        for _ in measure(Workspace(Path(root)), **asked):
            if os.getppid() != int(parent):
                break
    except TFMError:  # the form reports it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
