"""The datasets that a form offers for an external test: those that no chosen model was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfm.core.registry import InspectionResult
from tfm.core.runs.comparable_runs import read_dataset
from tfm.core.runs.lookup import find_run
from tfm.core.runs.workspace import Workspace


def offer_datasets(values: Mapping[str, Any], workspace: Workspace) -> Iterator[InspectionResult]:
    own = {read_dataset(find_run(workspace, name)) for name in values["runs"]}
    others = [name for name in workspace.list_products("dataset") if name not in own]
    yield InspectionResult(
        choices={"dataset": [None, *others]},
        reasons={"dataset": "a chosen model was trained on it"},
    )
