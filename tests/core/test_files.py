"""A file is complete or unchanged, whatever happens to its writer."""

import signal
import subprocess
import sys

import pytest

from tfm.core import files


def fail_midway(target):
    with files.write_atomically(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_a_failed_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    files.write_json(target, {"n": 1})
    with pytest.raises(ZeroDivisionError):
        fail_midway(target)
    assert files.read_json(target) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_killed_writer_keeps_the_old_file_and_its_leftover_is_removed(tmp_path):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    script = f"""
import os, signal, pathlib
from tfm.core import files
with files.write_atomically(pathlib.Path({str(target)!r})) as temporary:
    temporary.write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
