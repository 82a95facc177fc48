"""A file is complete or unchanged, whatever happens to its writer."""

import os
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


def write_bomb(levels, first="[x]", level="[%s]"):
    """Each level names the one below nine times: a text of a few lines that stands for 9 ** levels values."""
    names = [", ".join([f"*l{number}"] * 9) for number in range(levels - 1)]
    return "\n".join([f"- &l0 {first}", *(f"- &l{number} {level % name}" for number, name in enumerate(names, 1))])


HOSTILE = {
    "bomb of aliases": write_bomb(9),
    "bomb of merges": write_bomb(9, "{a: 1}", "{<<: [%s]}"),
    "itself": "&a [*a]",
    "deep": "[" * 60 + "]" * 60,
    "deeper": "[" * 100_000,
    "deep by aliases": "\n".join(["- &l0 [x]", *(f"- &l{n} [*l{n - 1}]" for n in range(1, 200))]),
    "large": "- x\n" * 1_000_000,
    "key": "5: x",
    "date": "a: 2026-99-99",
    "number": f"a: {'9' * 5000}",
    "empty number": "a: !!int ''",
    "code": "!!python/object/apply:os.system [exit]",
    "control": "a: \x1b[31m",
    "surrogate": '"\\ud800"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_yaml_is_refused_with_a_reason_in_one_line(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        files.read_yaml(tmp_path / "mine.yaml")


def test_an_alias_that_the_program_wrote_is_read(tmp_path):
    shared = ["a", "b"]
    files.write_yaml(tmp_path / "plan.yaml", {"one": shared, "two": shared})
    assert files.read_yaml(tmp_path / "plan.yaml") == {"one": shared, "two": shared}


def test_a_json_file_of_nested_lists_is_refused(tmp_path):
    (tmp_path / "status.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deep"):
        files.read_json(tmp_path / "status.json")


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "settings.yaml")
    with pytest.raises(ValueError, match="not a regular file"):
        files.read_yaml(tmp_path / "settings.yaml")
