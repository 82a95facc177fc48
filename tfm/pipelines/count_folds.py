"""Count the folds of a dataset. Called before a run starts, so nothing heavy is imported here."""

from __future__ import annotations

import csv
from typing import Any

from tfm.core.runs.workspace import Workspace


def count_folds(settings: Any, workspace: Workspace) -> int:
    """A dataset without folds counts as 1."""
    with open(workspace.dataset_folder(settings.dataset) / "manifest.csv", encoding="utf-8", newline="") as file:
        return max((int(row.get("fold") or 0) for row in csv.DictReader(file)), default=0) or 1
