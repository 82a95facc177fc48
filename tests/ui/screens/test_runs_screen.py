"""The runs in the menu and on the command line: quick, whole at 80 columns, true, and one step back at a time."""

import io
import json
import time
from dataclasses import asdict
from statistics import median

import pytest
from rich.console import Console

from tests.toy_jobs import finish, toy_run
from tests.ui.scripted import BACK, LEAVE, Scripted
from tfm.core.events import Progress
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.lookup import list_runs
from tfm.core.runs.plan import Step
from tfm.ui.list_rows import draw_rows
from tfm.ui.list_state import ListState
from tfm.ui.prompts import Pressed, ToMenu
from tfm.ui.runs_table import print_jobs, select_jobs
from tfm.ui.screens.runs_screen import open_runs

RUNS, STEPS = 200, 325
CPU_SECONDS = 0.030


def fill_workspace(workspace):
    """Two hundred runs as they are on disk, a hundred of them in a queue of 325 steps."""
    pattern = toy_run(workspace)
    finish(pattern)
    done = asdict(pattern.read_status())
    plan = find_or_create_plan(workspace, "queue", [Step(f"step{n}", "count", {"target": n}) for n in range(STEPS)])
    (plan.folder / "steps").mkdir()
    for number in range(RUNS - 1):
        folder = workspace.runs_folder / f"2026-01-01_count_{number:06x}"
        folder.mkdir()
        for file in ("settings.yaml", "events.jsonl"):
            (folder / file).write_bytes((pattern.folder / file).read_bytes())
        state = "done" if number % 20 else "paused"
        (folder / "status.json").write_text(json.dumps(done | {"state": state}))
        if number < RUNS // 2:
            (plan.folder / "steps" / f"step{number}.json").write_text(json.dumps({"run": folder.name}))


class Looking(Scripted):
    """Looks at each list several times before it answers, as a person does, and remembers what a look costs."""

    def ask(self, question):
        self.taken = []
        for _ in range(7 if question.refresh else 0):
            begun = time.process_time()
            draw_rows(ListState(question.refresh()), 80)
            self.taken.append(time.process_time() - begun)
        self.costs = {**getattr(self, "costs", {}), question.name: self.taken}
        return super().ask(question)


def test_two_hundred_runs_and_a_queue_of_325_steps_are_redrawn_in_little_cpu(workspace):
    fill_workspace(workspace)
    plan = JobIndex(workspace).plans[0].job
    asker = Looking({"run": (Pressed("e", None), plan.id, LEAVE), "action": "steps", "step": LEAVE})
    with pytest.raises(ToMenu):
        open_runs(workspace, asker, Console(file=io.StringIO()))
    assert [len(question.choices) for question in asker.asked if question.columns] == [101, 201, 325]
    assert median(asker.costs["run"]) < CPU_SECONDS
    assert median(asker.costs["step"]) < CPU_SECONDS


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_window_drops_columns_and_cuts_no_word(workspace, width):
    for seed, state in enumerate(("failed", "paused", "done")):
        run = find_or_create_job(workspace, "learn", {"epochs": 400, "seed": seed})
        with run.open_event_log():
            run.record(Progress("epoch", 7, 400, "epochs"))
        run.update(state=state, seconds=4000.0, result={"val_auc": 0.7123})
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_jobs(select_jobs(JobIndex(workspace)), console)
    drawn = console.file.getvalue()
    assert len(drawn.splitlines()) == 5
    assert "…" not in drawn
    assert "paused, epoch 7 of 400" in drawn
    assert ("AUC 0.712" in drawn) == (width >= 60)


def test_esc_at_the_last_question_before_a_removal_goes_one_question_back(workspace):
    run = toy_run(workspace, target=3)
    finish(run)
    asker = Scripted({"run": (run.id, LEAVE), "action": ("remove", BACK), "sure": BACK})
    with pytest.raises(ToMenu):
        open_runs(workspace, asker, Console(file=io.StringIO()))
    assert asker.names == ["run", "action", "sure", "action", "run"]
    assert [one.id for one in list_runs(workspace)] == [run.id]


def test_the_steps_of_a_queue_are_moved_skipped_and_removed_by_keys(workspace):
    plan = find_or_create_plan(
        workspace, "queue", [Step(name, "count", {"target": n}) for n, name in enumerate("abcd")]
    )
    steps = (Pressed("u", "c"), Pressed("s", "a"), Pressed("x", "b"), "d", BACK)
    asker = Scripted({"run": (plan.id, LEAVE), "action": ("steps", BACK), "step": steps, "edit": "u"})
    with pytest.raises(ToMenu):
        open_runs(workspace, asker, Console(file=io.StringIO()))
    *_, last = (question for question in asker.asked if question.name == "step")
    assert [choice.cells[:2] for choice in last.choices] == [("a", "skipped"), ("d", "waiting"), ("c", "waiting")]


def test_the_commands_below_runs_say_the_same(workspace, run_main):
    plan = find_or_create_job(workspace, "learn", {"epochs": 1, "pages": 1, "seeds": 3})
    place = ["--workspace", workspace.root]
    edited = run_main("runs", "queue", plan.id, "--remove", "learn-seed8", "--next", "learn-seed9", *place)
    assert edited.returncode == 0, edited.stderr
    assert edited.stdout.index("learn-seed9") < edited.stdout.index("learn-seed7")
    finish(plan)
    assert "learn, 2 runs  done" in run_main("runs", "list", *place).stdout
    every = run_main("runs", "list", "--all", "seed9", *place).stdout
    assert ("learn-seed9" in every, "learn-seed7" in every) == (True, False)
    shown = run_main("runs", "show", "learn-seed9", *place).stdout
    assert shown.index("known") < shown.index("What was chosen") < shown.index("default: 5")
    assert "sections: 3" not in shown
    assert "sections: 3" in run_main("runs", "show", "learn-seed9", "--all", *place).stdout
    refused = run_main("runs", "queue", plan.id, "--remove", "learn-seed7", *place)
    assert refused.returncode == 1
    assert "has begun" in refused.stderr


def test_a_dismissed_failure_stays_in_the_list(workspace, run_main):
    run = toy_run(workspace, fail_at=2)
    finish(run)
    assert run_main("runs", "dismiss", run.id, "--workspace", workspace.root).returncode == 0
    (listed,) = JobIndex(workspace).runs
    assert listed.is_dismissed
    assert "failed" in run_main("runs", "list", "--workspace", workspace.root).stdout
    assert json.loads((run.folder / "status.json").read_text())["state"] == "failed", "its status is not touched"
