"""A small phantom download on disk, in one call; what it returns is the truth about it."""

from pathlib import Path
from typing import Any

from tfm.data.phantom import cohort, traps
from tfm.data.phantom.spec import DownloadPlan
from tfm.data.phantom.writer import write_download


def phantom_download(
    folder: Path, train_women: int, test_women: int, *, planted: str = "none", **other: Any
) -> DownloadPlan:
    usual = {"kinds": ("mass", "calc"), "height": 256, "difficulty": 0.3, "shuffle_labels": False, "seed": 2}
    plan = cohort.plan_download(
        train_women=train_women, test_women=test_women, traps=traps.parse_traps(planted), **(usual | other)
    )
    list(write_download(plan, folder))
    return plan
