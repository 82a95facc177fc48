"""See the whole path in a few minutes, on synthetic images

Draws phantoms, organizes and preprocesses them, trains two networks from scratch (no download), and compares them.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, Settings


class Demo(Settings):
    shuffle_labels: Annotated[bool, IMPORTANT] = False
    """Shuffle the labels, as a control?
    With shuffled labels there is nothing to learn: an honest comparison then shows intervals that hold 0.5."""

    traps: str = "none"
    """Which of CBIS-DDSM's traps to plant: none, all, or names with commas between"""


COMMAND = Planner(settings=Demo, pipeline="tfm.pipelines.demo:plan_demo")
