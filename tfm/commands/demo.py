"""See the whole path in a few minutes, on synthetic images

Writes a synthetic download, organizes and preprocesses it, trains two models from scratch and one on the features of
a pretrained network (no internet needed), and compares them.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Planner
from tfm.core.settings.base import IMPORTANT, Settings


class Demo(Settings):
    shuffle_labels: Annotated[bool, IMPORTANT] = False
    """Shuffle the labels, as a control?
    There is nothing to learn from shuffled labels: the intervals of an honest comparison then contain 0.5."""

    traps: str = "none"
    """Which defects of CBIS-DDSM should be planted: none, all, or names separated by commas?"""


COMMAND = Planner(settings=Demo, pipeline="tfm.pipelines.demo:plan_demo")
