"""No damaged image file crashes the program, hangs it or fills the memory; each is read, or refused in words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.read_mutants import SECONDS

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("count", [68, pytest.param(2400, marks=pytest.mark.long)])
def test_mutated_dicom_files_are_read_or_refused(count: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.read_mutants", "7", str(count), str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    victim = tmp_path / "mutant.dcm"
    assert done.returncode == 0, f"{victim} ended the process with {done.returncode}: {done.stderr[-2000:]}"
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["read"] + figures["refused"] == count
    assert figures["read"] > 0
    assert figures["seconds"] < SECONDS
    assert figures["MB"] < 1000
