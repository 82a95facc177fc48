"""How soon the first words are on the screen, beside the time that the terminal libraries take by themselves."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.rows import report

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).resolve().parents[2]
FLOOR = [sys.executable, "-c", "import typer, rich, questionary"]
HELP = [sys.executable, "wizard.py", "--help"]


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
    return time.perf_counter() - begun


def test_help_takes_at_most_one_and_a_half_times_its_libraries():
    pairs = [(seconds(HELP), seconds(FLOOR)) for _ in range(5)][1:]
    ours, libraries = map(min, zip(*pairs, strict=True))
    report("--help, against its libraries", ours, floor=libraries, at_most=1.5)
