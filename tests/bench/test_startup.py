"""How soon the first words are on the screen, beside the time that the terminal libraries take by themselves."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).resolve().parents[2]
FLOOR = [sys.executable, "-c", "import typer, rich, questionary"]
HELP = [sys.executable, "wizard.py", "--help"]


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
    return time.perf_counter() - begun


def test_help_takes_at_most_one_and_a_half_times_its_libraries(record_property):
    pairs = [(seconds(HELP), seconds(FLOOR)) for _ in range(5)][1:]
    ratio = min(ours for ours, _ in pairs) / min(floor for _, floor in pairs)
    record_property("ratio", round(ratio, 2))
    assert ratio <= 1.5
