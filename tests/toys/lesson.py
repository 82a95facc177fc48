"""A toy plan: counting, then counting on from there."""

from tfm.core.registry import Planner
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings


class Lesson(Settings):
    halt_at: int | None = None
    """At which number should the second step be halted once?"""
    fail_at: int | None = None
    """At which number should the second step fail?"""


def plan_lesson(settings: Lesson, workspace: Workspace) -> list[Step]:
    given = {"target": 9, "halt_at": settings.halt_at, "fail_at": settings.fail_at}
    return [Step("first", "count", {"target": 5}), Step("second", "count", given | {"start_from": "@first.run"})]


COMMAND = Planner(settings=Lesson, pipeline="tests.toys.lesson:plan_lesson")
