"""The proof of the doctor: a training that was killed five times ends with the same bits, or it says what differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis.written_runs import write_trained_run
from tests.training.small_dataset import make_small_dataset
from tfm.analysis.report.proof_section import find_certificate
from tfm.core.runs.certificate import Certificate, Figures, Kill, PartDigest, read_certificates, write_certificate

PROJECT = Path(__file__).resolve().parents[2]
MACHINE = {"host": "ward", "device_name": "NVIDIA H100", "python": "3.12.1", "torch": "2.6.0", "git_commit": "abc"}
# The generator of torch is seeded once in a process, and its state is in no checkpoint.
FORGETFUL = """
import sys
if "tfm.core.runs.worker" in sys.orig_argv:
    import torch
    seed, seeded = torch.manual_seed, []
    torch.manual_seed = lambda number: seeded or (seeded.append(number), seed(number))
"""


def make_certificate(machine=MACHINE, date="2026-03-01T10:00:00+00:00", differing="") -> Certificate:
    return Certificate(
        date=date,
        machine=machine,
        training="a small network",
        moments_seed=1,
        misses=0,
        kills=[Kill(place="epoch 1, step 3 of 30", checkpoint="whole", continued_from="the start")],
        digests=[PartDigest(part="weights", undisturbed="a", killed="b" if differing else "a", differing=differing)],
        figures=Figures(
            network="resnet18",
            images_per_second=10.0,
            determinism_cost=1.0,
            determinism_range=(0.9, 1.1),
            pairs=4,
            sync_milliseconds=2.0,
            slowest_sync_milliseconds=3.0,
        ),
        limits=["kill -9 says nothing about a power failure."],
    )


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    run = write_trained_run(workspace)
    run.save_facts(**MACHINE, deterministic=True)
    return run


def prove(root: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    told = subprocess.run(
        [sys.executable, "wizard.py", "doctor", "--prove", "--json", "--workspace", str(root)],
        cwd=PROJECT, capture_output=True, text=True, check=False, env=os.environ | environment | {"COLUMNS": "80"},
    )  # fmt: skip
    return told, json.loads(told.stdout.splitlines()[-1])


@pytest.mark.long
def test_a_training_that_is_killed_five_times_ends_with_the_same_bits(workspace):
    told, result = prove(workspace.root)
    assert told.returncode == 0, told.stderr
    assert "killed and resumed: 4/5" in told.stderr
    assert len(result["kills"]) == 5
    assert "half written" in [kill["checkpoint"] for kill in result["kills"]]
    assert all(one["undisturbed"] == one["killed"] for one in result["digests"])
    (certificate,) = read_certificates(workspace)
    assert certificate.is_proven
    assert "power" in certificate.limits[0]
    assert [file.name for file in workspace.root.iterdir() if file.is_dir()] == ["certificates"], "nothing else is left"


@pytest.mark.long
def test_a_training_whose_random_state_is_not_restored_is_not_reproducible(workspace, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FORGETFUL)
    told, result = prove(workspace.root, PYTHONPATH=str(tmp_path))
    assert told.returncode == 1
    assert {"weights", "optimizer"} <= {one["part"] for one in result["digests"] if one["differing"]}
    assert "Not reproducible" in told.stderr
    assert not read_certificates(workspace)[0].is_proven


def test_a_certificate_replaces_the_older_one_of_its_machine_and_device_alone(workspace):
    workspace.create_folder()
    other = make_certificate(MACHINE | {"device_name": "CPU"})
    for one in (make_certificate(), other, make_certificate(date="2026-04-01T10:00:00+00:00")):
        write_certificate(workspace, one)
    assert [one.date[:7] for one in read_certificates(workspace)] == ["2026-04", "2026-03"]


def test_a_damaged_certificate_proves_nothing(workspace):
    workspace.create_folder()
    path = write_certificate(workspace, make_certificate())
    for text in ("", "{}", path.read_text().replace('"ward"', "7"), path.read_text().replace("2.0", "1e999")):
        path.write_text(text)
        assert read_certificates(workspace) == []


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"torch": "2.7.0"}, "of another PyTorch"),
        ({"host": "office", "device_name": "CPU"}, "of another device and machine"),
        ({"resumed_with": [{"git_commit": "def"}]}, "of another version of the program"),
        ({"deterministic": False}, "not deterministic"),
    ],
)
def test_a_certificate_counts_for_the_machine_device_and_versions_of_a_run(run, facts, reason):
    run.save_facts(**facts)
    place, words = find_certificate([make_certificate()], run)
    assert (place is None) == bool(reason)
    assert reason in words
