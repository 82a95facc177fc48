"""A clock that jumps while runs work spoils no list, no home and no live view."""

import io
import json
import re

import pytest
from rich.console import Console

from tests.ui.screens.drawn_jobs import KEYS, on_screen
from tfm.core.events import Progress, StateChange, to_record
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run_progress import read_progress
from tfm.ui.home_state import HomeReader
from tfm.ui.screens.home_panel import draw_plainly

NOW, YEAR = 1_800_000_000.0, 365 * 86400.0
FAR = {"created": "2199-01-01T00:00:00+00:00", "started": "2199-01-01T00:00:00+00:00"}
TIMES = {
    "created in the future": ([NOW, NOW + 60], FAR),
    "ended before it started": (
        [NOW, NOW + 60],
        {"started": "2027-01-01T00:00:00+00:00", "ended": "2017-01-01T00:00:00+00:00", "state": "done"},
    ),
    "set back ten years": ([NOW, NOW - 10 * YEAR], {"started": "2027-01-15T08:00:00+00:00"}),
    "set forward ten years": ([NOW - 10 * YEAR, NOW], {"started": "2017-01-17T08:00:00+00:00"}),
    "running since no time": ([NOW, NOW + 60], {"started": ""}),
    "times that are none": (["soon", float("inf"), NOW], {}),
}


@pytest.mark.parametrize(("times", "status"), TIMES.values(), ids=TIMES)
def test_a_clock_that_jumps_is_shown_without_negative_times(workspace, run_main, times, status):
    run = write_run(workspace, times, status)
    other = find_or_create_job(workspace, "learn", {"epochs": 4})
    with run.hold_lock():
        state = HomeReader(workspace).read()
        shown = [run_main("runs", "list", "--workspace", workspace.root).stdout]
        shown += [*on_screen(run, 80, 24), draw_home(state, workspace)]
        assert run.read_seconds_spent() >= 0
    text = "\n".join(shown)
    assert other.id[-6:] in shown[0], "the other run is listed too"
    assert run.id[-6:] in shown[0]
    assert KEYS in text or "done" in text
    assert not re.search(r"(?<![\w-])-\d+(\.\d)? (s|min|h|days)\b", text)


def test_the_time_left_is_unknown_after_the_clock_was_set_back(workspace):
    run = write_run(workspace, [NOW, NOW - 10 * YEAR], {})
    assert read_progress(run).seconds_left is None


def write_run(workspace, times, status):
    """A run in an epoch, whose files have these times."""
    run = find_or_create_job(workspace, "learn", {"epochs": 3})
    events = [StateChange("running"), *(Progress("epoch", number, 9, "epochs") for number in range(1, len(times) + 1))]
    lines = [
        json.dumps(to_record(event, 0) | {"time": time}) for event, time in zip(events, [times[0], *times], strict=True)
    ]
    run.events_file.write_text("".join(f"{line}\n" for line in lines))
    content = json.loads((run.folder / "status.json").read_text())
    (run.folder / "status.json").write_text(json.dumps(content | {"state": "running"} | status))
    return run


def draw_home(state, workspace):
    console = Console(file=io.StringIO(), width=80)
    console.print(draw_plainly(state, workspace))
    return console.file.getvalue()
