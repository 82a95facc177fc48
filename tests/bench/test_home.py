"""How soon home is there and answers, with 200 runs of long names in the workspace."""

import os
import statistics
import time

import pytest

from tests.estimated_models import write_data
from tests.ui.terminal import Terminal
from tfm.core import registry
from tfm.core.runs.resolve_command_settings import find_preset, resolve_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

pytestmark = [pytest.mark.alone, pytest.mark.long]

LONG = "a-name-that-nobody-would-choose-and-somebody-always-does"
STATES = [{"state": "done", "result": {"model": LONG}}] * 190 + [
    *[{"state": "failed", "message": "There was not enough memory for a batch of this size. " * 3}] * 4,
    *[{"state": "paused"}] * 6,
]


def write_runs(workspace: Workspace) -> None:
    write_data(workspace)
    stage = registry.find_stage("train")
    settings = resolve_settings(workspace, "train", {}, find_preset(workspace, "train", "MammoCNN"))
    for number, status in enumerate(STATES):
        name = f"{LONG}-{number}" if number % 2 else "MammoCNN"
        Run.create(workspace, "train", stage.version, settings, name, f"key{number}").update(**status)


def read_cpu_seconds(process_id: int) -> float:
    with open(f"/proc/{process_id}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_home_is_there_and_answers_at_once_with_200_runs(tmp_path, record_property):
    write_runs(Workspace(tmp_path / "workspace"))
    with Terminal(cwd=tmp_path) as terminal:
        lines = terminal.wait_for("Ctrl-C quits").splitlines()
        first = read_cpu_seconds(terminal.process.pid)
        assert "paused: 6" in lines[3]
        assert "190 trained" in lines[3]
        assert all(line[0] + line[-1] in ("╭╮", "││", "╰╯") for line in lines[:6]), "the panel is whole"
        assert "200 runs, 4 failed" in terminal.text
        assert "Quit" in terminal.text, "everything fits"
        seconds = []
        for key in ["down"] * 10 + ["up"] * 10:
            before, begun = terminal.text, time.perf_counter()
            terminal.press(key)
            terminal.wait_until_changed(before)
            seconds.append(time.perf_counter() - begun)
    record_property("first screen, CPU seconds", round(first, 2))
    record_property("key, milliseconds", round(1000 * statistics.median(seconds)))
    assert first <= 0.5
    assert statistics.median(seconds) <= 0.1
