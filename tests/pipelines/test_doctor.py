"""The doctor looks at the machine itself, and says what to do where it falls short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfm.core.events import Result, Table
from tfm.core.registry import find_command
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No hub in reach and nothing kept: the answer must not depend on this machine's network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def findings(root: Path) -> dict[str, dict[str, str]]:
    doctor = find_command("doctor")
    events = list(doctor.generate(resolve(doctor.settings, {}, {}), Workspace(root)))
    assert isinstance(events[0], Table)
    assert isinstance(events[-1], Result)
    return events[-1].values["findings"]


def test_everything_the_path_needs_is_looked_at(tmp_path):
    found = findings(tmp_path)
    assert {"Python", "PyTorch", "cores", "memory", "disk", "workspace", "DICOM codecs"} <= set(found)
    assert any(name.startswith("GPU") for name in found)
    assert found["DICOM codecs"]["state"] == "good", "requirements.txt brings every codec"
    assert [name for name, one in found.items() if one["state"] == "trouble" and not one["advice"]] == []
    assert list(tmp_path.iterdir()) == []


def test_weights_out_of_reach_come_with_a_way_out(tmp_path):
    weights = findings(tmp_path)["weights of ResNet18_CFT"]
    assert weights["state"] == "note"
    assert "weights=none" in weights["advice"]


def test_a_workspace_that_cannot_be_written_is_trouble(tmp_path):
    (tmp_path / "file").write_text("")
    assert findings(tmp_path / "file" / "workspace")["workspace"]["state"] == "trouble"


def test_a_gpu_that_pytorch_cannot_use_is_named_with_what_mends_it(tmp_path):
    """Where a driver answers but PyTorch finds no GPU: here a driver's command that speaks of one."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559'\n")
    driver.chmod(0o755)
    hidden = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    told = subprocess.run(
        [sys.executable, "wizard.py", "doctor"],
        cwd=PROJECT, capture_output=True, text=True, check=False, env=os.environ | hidden | {"COLUMNS": "160"},
    )  # fmt: skip
    assert told.returncode == 1
    assert "NVIDIA H100 was found" in told.stdout
    assert "pip install" in told.stdout or "update the driver" in told.stdout
