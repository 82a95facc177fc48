"""What a shell completes, by the script that typer prints, in a real bash."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder whose workspace has a dataset, a model and a finished run."""
    workspace = tmp_path / "workspace"
    for file in ("dataset/photos/manifest.csv", "models/Mine.yaml", "runs/2026-01-01_train_abc123/status.json"):
        (workspace / file).parent.mkdir(parents=True)
        (workspace / file).write_text(json.dumps({"state": "done", "created": "2026-01-01T00:00:00+00:00"}))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("wizard.py org", ["organize"]),
        ("wizard.py train Res", ["ResNet18_CFT", "ResNet18_OPW", "ResNet18_PFT", "ResNet50_Head", "ResNet50_RF"]),
        ("wizard.py train M", ["MammoCNN", "Mine"]),
        ("wizard.py train MammoCNN --learning", ["--learning-rate"]),
        ("wizard.py preprocess --dataset ", ["photos"]),
        ("wizard.py train MammoCNN --optimizer adam", ["adamw", "adam"]),
        ("wizard.py runs sh", ["show"]),
        ("wizard.py runs show 2026", ["2026-01-01_train_abc123"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(line, values, filled, run_main, monkeypatch):
    """The last word is the one to complete."""
    monkeypatch.setenv("_WIZARD.PY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    assert run_main().stdout.split() == values


def test_bash_completes_the_program_started_by_python(filled):
    program = PROJECT / "wizard.py"
    script = f"""
        eval "$({sys.executable} {program} --show-completion)"
        COMP_WORDS=({sys.executable} {program} org); COMP_CWORD=2
        _wizard_by_python {sys.executable}
        echo "${{COMPREPLY[@]}}"
    """
    bash = shutil.which("bash")
    assert bash
    unset = {name: value for name, value in os.environ.items() if name != "SHELL"}  # as in a container
    told = subprocess.run([bash, "-c", script], capture_output=True, text=True, cwd=filled, env=unset, check=True)
    assert told.stdout.strip() == "organize", told.stderr


def test_completing_loads_nothing_heavy(filled):
    code = "import sys\nfrom tfm.ui.cli import main; main()\n"
    code += "print([name for name in ('numpy', 'torch', 'pandas') if name in sys.modules], file=sys.stderr)"
    place = {"COMP_WORDS": "wizard.py train M", "COMP_CWORD": "2", "_WIZARD.PY_COMPLETE": "complete_bash"}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, env=os.environ | place, check=True
    )
    assert told.stderr.strip() == "[]"
