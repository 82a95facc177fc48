"""How soon home is there and answers, with many runs of long names in the workspace and one with many events."""

import json
import os
import statistics
import time

import pytest

from tests.bench.rows import report
from tests.estimated_models import write_data
from tests.ui.terminal import Terminal
from tfm.core import registry
from tfm.core.events import Progress, to_record
from tfm.core.runs.resolve_command_settings import find_preset, resolve_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

pytestmark = [pytest.mark.alone, pytest.mark.long]

LONG = "a-name-that-nobody-would-choose-and-somebody-always-does"
FAILED = {"state": "failed", "message": "There was not enough memory for a batch of this size. " * 3}
EVENTS = 300_000  # of one paused run


def write_runs(workspace: Workspace, count: int) -> None:
    write_data(workspace)
    done = [{"state": "done", "result": {"model": LONG}}] * (count - 10)
    stage = registry.find_stage("train")
    settings = resolve_settings(workspace, "train", {}, find_preset(workspace, "train", "MammoCNN"))
    for number, status in enumerate([*done, *[FAILED] * 4, *[{"state": "paused"}] * 6]):
        name = f"{LONG}-{number}" if number % 2 else "MammoCNN"
        run = Run.create(workspace, "train", stage.version, settings, name, f"key{number}")
        run.update(**status)
    with open(run.events_file, "w") as file:
        for step in range(EVENTS):
            record = to_record(Progress("step", step + 1, EVENTS, "steps"), time.time())
            file.write(json.dumps(record) + "\n")


def read_cpu_seconds(process_id: int) -> float:
    with open(f"/proc/{process_id}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("count", [200, 1000])
def test_home_is_there_and_answers_at_once(tmp_path, count):
    write_runs(Workspace(tmp_path / "workspace"), count)
    # A first start compiles the modules. Where tests run, Python may be told not to keep them.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    with Terminal(cwd=tmp_path, **compiled) as terminal:
        terminal.wait_for("Ctrl-C quits")
    with Terminal(cwd=tmp_path, **compiled) as terminal:
        lines = terminal.wait_for("Ctrl-C quits").splitlines()
        first = read_cpu_seconds(terminal.process.pid)
        assert "paused: 6" in lines[3]
        assert f"{count - 10} trained" in lines[3]
        assert all(line[0] + line[-1] in ("╭╮", "││", "╰╯") for line in lines[:6]), "the panel is whole"
        assert f"{count} runs, 4 failed" in terminal.text
        assert "Quit" in terminal.text, "everything fits"
        seconds = []
        for key in ["down"] * 10 + ["up"] * 10:
            before, begun = terminal.text, time.perf_counter()
            terminal.press(key)
            terminal.wait_until_changed(before)
            seconds.append(time.perf_counter() - begun)
    report(f"first screen with {count} runs, CPU", first, at_most=0.4 + count / 2000)
    report(f"key in the menu with {count} runs", 1000 * statistics.median(seconds), unit="ms", at_most=100)
