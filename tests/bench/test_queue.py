"""A queue of 13 models × 5 folds × 5 seeds, and one four times as long: to plan, to show and to edit."""

import itertools
import time
from collections.abc import Callable

import pytest

from tests.bench.rows import report
from tests.estimated_models import write_data
from tfm.core.runs import edit_queue
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets

pytestmark = [pytest.mark.alone, pytest.mark.long]

FOUND = {name: presets.load_preset("models", name) for name in presets.list_presets("models")}
MODELS = [*itertools.islice((name for name, preset in FOUND.items() if preset.stage == "train"), 13)]


def measure(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def plan_queue(workspace: Workspace, seeds: int) -> tuple[Plan, float]:
    """Plan it, and return the CPU seconds that this took."""
    given = {"dataset": "practice", "cache": workspace.list_products("cache")[0], "weights": "none", "seeds": seeds}
    begun = time.process_time()
    plan = find_or_create_job(workspace, "train", given, MODELS)
    seconds = time.process_time() - begun
    assert isinstance(plan, Plan)
    assert len(plan.read_steps()) == len(MODELS) * seeds + 1
    return plan, seconds


def test_queue_is_planned_shown_and_edited_at_once(workspace):
    write_data(workspace)
    plan, planning = plan_queue(workspace, 25)
    _, longer = plan_queue(workspace, 100)
    report("queue of 325 steps: plan, CPU", planning, at_most=5)
    report("queue of 1,300 steps, against four times 325", longer, floor=4 * planning, at_most=1.3)
    report("queue of 325 steps: size", plan.steps_file.stat().st_size / 1000, unit="kB", at_most=200)
    index = JobIndex(workspace)
    report("queue of 325 steps: show, CPU", 1000 * measure(index.refresh), unit="ms", at_most=100)
    first = next(iter(edit_queue.group_steps(plan.read_steps())))

    def skip_and_keep() -> None:
        edit_queue.skip_model(plan, first)
        edit_queue.keep_model(plan, first)

    edits = {"move": lambda: edit_queue.move_model(plan, first, 9), "skip and keep": skip_and_keep}
    for name, edit in edits.items():
        seconds = min(measure(edit) for _ in range(3))
        report(f"queue of 325 steps: {name}, CPU", 1000 * seconds, unit="ms", at_most=200)
