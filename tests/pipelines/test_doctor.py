"""The doctor checks the machine and advises on each problem."""

import os
from pathlib import Path

import pytest
import torch

from tests.one_node_slurm import write_cluster
from tfm.core import machine
from tfm.core.errors import SettingsError
from tfm.core.events import Result, Table
from tfm.core.registry import find_command
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.ui.cli import main


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No hub and no downloads: the answer must not depend on the network of this machine."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def findings(root: Path) -> dict[str, dict[str, str]]:
    doctor = find_command("doctor")
    events = list(doctor.generate(resolve(doctor.settings, {}, {}), Workspace(root)))
    assert isinstance(events[0], Table)
    assert isinstance(events[-1], Result)
    return events[-1].values["findings"]


@pytest.mark.parametrize("content", ["[" * 2000, "title: x", "title: t\nabout: a\nstage: train\nsettings: {model: 5}"])
def test_a_bad_preset_is_named_and_the_rest_is_checked(content, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Mine.yaml").write_text(content)
    found = findings(tmp_path)
    assert found["model Mine"]["state"] == "trouble"
    assert "Mine.yaml" in found["model Mine"]["found"]
    assert any("ResNet18_CFT" in name for name in found)


def test_everything_needed_is_checked(tmp_path):
    found = findings(tmp_path)
    assert {"Python", "PyTorch", "cores", "memory", "disk", "workspace", "DICOM codecs"} <= set(found)
    assert any(name.startswith("GPU") for name in found)
    assert found["DICOM codecs"]["state"] == "good", "requirements.txt brings every codec"
    assert [name for name, one in found.items() if one["state"] == "trouble" and not one["advice"]] == []
    assert list(tmp_path.iterdir()) == []


def test_models_whose_weights_are_out_of_reach_share_one_advice(tmp_path):
    found = [(name, one) for name, one in findings(tmp_path).items() if name.startswith("weights of ")]
    ((models, weights),) = (row for row in found if row[1]["state"] == "note")
    assert {"ResNet18_CFT", "DenseNet121_CFT"} <= set(models.removeprefix("weights of ").split(", "))
    assert "weights=none" in weights["advice"]


def test_a_workspace_that_is_not_writable_is_trouble(tmp_path):
    (tmp_path / "file").write_text("")
    assert findings(tmp_path / "file" / "workspace")["workspace"]["state"] == "trouble"


def test_a_gpu_that_pytorch_cannot_use_is_reported_with_advice(tmp_path, monkeypatch, capsys, request):
    """The driver lists a GPU, here by a fake nvidia-smi, but PyTorch finds none."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COLUMNS", "160")
    machine.find_nvidia_gpus.cache_clear()
    request.addfinalizer(machine.find_nvidia_gpus.cache_clear)
    assert main(["doctor", "--workspace", str(tmp_path / "workspace")]) == 1
    told = capsys.readouterr().out
    assert "NVIDIA H100 was found" in told
    assert "pip install" in told or "update the driver" in told


# --- a cluster --------------------------------------------------------------------------------------------------------


def test_a_proof_is_made_on_the_machine_that_trains():
    with pytest.raises(SettingsError, match="not from here"):
        resolve(find_command("doctor").settings, {}, {"on": "ours", "prove": True})


def check_cluster(workspace: Workspace, **settings) -> dict[str, dict[str, str]]:
    doctor = find_command("doctor")
    *_, result = doctor.generate(resolve(doctor.settings, {}, {"on": "ours", **settings}), workspace)
    return result.values["findings"]


@pytest.mark.long
def test_a_real_job_says_what_a_node_has(slurm, workspace):
    write_cluster(workspace, partition="main", time=10, cpus=1, gpus=0)
    found = check_cluster(workspace)
    assert list(found) == ["sbatch", "partition", "node", "workspace", "Python", "PyTorch", "GPU"]
    assert found["partition"]["found"] == "main"
    assert found["PyTorch"]["found"] == torch.__version__
    assert "asks for none" in found["GPU"]["found"]
    assert [one for one in found.values() if one["state"] == "trouble"] == []


@pytest.mark.parametrize(
    ("settings", "at", "says"),
    [
        ({"partition": "cellar"}, "sbatch", "invalid partition"),
        pytest.param({"partition": "main", "python": "/no/such/python"}, "node", "report", marks=pytest.mark.long),
    ],
)
def test_trouble_with_a_cluster_names_its_file(slurm, workspace, settings, at, says):
    write_cluster(workspace, **{"time": 10, "cpus": 1, "gpus": 0} | settings)
    found = check_cluster(workspace)
    assert found[at]["state"] == "trouble"
    assert says in found[at]["found"]
    assert "ours.yaml" in found[at]["advice"]


@pytest.mark.long
def test_the_doctor_does_not_wait_for_ever_in_a_queue(slurm, workspace):
    write_cluster(workspace, partition="main", time=10, cpus=1, gpus=0)
    with slurm.occupied():
        found = check_cluster(workspace, wait=1)
        assert slurm.count_jobs() == 1, "its own job is cancelled"
    assert "did not start in 1 second" in found["node"]["found"]


@pytest.mark.long
def test_a_node_whose_pytorch_is_broken_is_trouble(slurm, workspace, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    setup = [f"export PYTHONPATH={tmp_path}"]
    write_cluster(workspace, partition="main", time=10, cpus=1, gpus=0, setup=setup)
    found = check_cluster(workspace)["PyTorch"]
    assert found["state"] == "trouble"
    assert "libcudart.so.12" in found["found"]
