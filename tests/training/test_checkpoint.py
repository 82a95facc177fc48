"""A checkpoint is whole or is not believed, and there is always one before it."""

import errno
import os
from pathlib import Path

import pytest
import torch

from tfm.core.errors import TrainingError
from tfm.training import checkpoint
from tfm.training.checkpoint import Checkpoints, DamagedCheckpoint, read_checkpoint


def content(number: int) -> dict:
    return {"step": number, "weights": torch.full((50,), float(number)), "best": float("-inf"), "rows": [{"a": 0.5}]}


def flip_a_bit(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


@pytest.fixture
def two_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path, seconds=60, key="a key")
    for number in (1, 2):
        checkpoints.save(content(number))
    return checkpoints


def test_what_was_saved_last_is_resumed(two_saved):
    resumed, trouble = two_saved.load_newest()
    assert trouble == []
    assert resumed["step"] == 2
    assert torch.equal(resumed["weights"], content(2)["weights"])
    assert resumed["best"] == float("-inf")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_is_named(tmp_path, two_saved, damage):
    damage(tmp_path / "last.pt")
    resumed, trouble = two_saved.load_newest()
    assert resumed["step"] == 1
    assert len(trouble) == 1
    assert "last.pt" in trouble[0]


def test_another_runs_checkpoint_is_refused_as_a_damaged_one_is(tmp_path, two_saved):
    other = Checkpoints(tmp_path / "other", seconds=60, key="another key")
    (tmp_path / "other").mkdir()
    other.save(content(9))
    other.save_best(content(9))
    for name in ("last.pt", "best.pt"):
        os.replace(tmp_path / "other" / name, tmp_path / name)
    resumed, trouble = two_saved.load_newest()
    assert resumed["step"] == 1
    assert trouble == ["last.pt cannot be used (it belongs to another run)"]
    with pytest.raises(TrainingError, match="another run"):
        two_saved.load_best()


def test_two_damaged_checkpoints_leave_nothing_to_resume(tmp_path, two_saved):
    flip_a_bit(tmp_path / "last.pt")
    cut_off(tmp_path / "previous.pt")
    resumed, trouble = two_saved.load_newest()
    assert resumed is None
    assert [name in line for name, line in zip(("last.pt", "previous.pt"), trouble, strict=True)] == [True, True]


def test_a_death_between_the_two_renames_costs_nothing(tmp_path, two_saved):
    os.replace(tmp_path / "last.pt", tmp_path / "previous.pt")
    resumed, trouble = two_saved.load_newest()
    assert resumed["step"] == 2
    assert trouble == []


def test_a_full_disk_leaves_the_checkpoints_that_stood(tmp_path, two_saved, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        two_saved.save(content(3))
    assert two_saved.load_newest()[0]["step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("numbers", [10, 1_000_000])
def test_a_disk_that_fills_up_is_told_as_one(numbers):
    """torch has words of its own for it, in which nobody would find the disk."""
    with pytest.raises(OSError, match="No space") as refusal:
        checkpoint.write_checkpoint(Path("/dev/full"), {"weights": torch.zeros(numbers)})
    assert refusal.value.errno == errno.ENOSPC


def test_a_checkpoint_holds_plain_tensors_and_numbers_that_torch_reads_by_itself(tmp_path, two_saved):
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2


def test_a_damaged_best_checkpoint_is_not_used(tmp_path, two_saved):
    two_saved.save_best(content(5))
    assert two_saved.load_best()["step"] == 5
    flip_a_bit(two_saved.best)
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(two_saved.best)
    with pytest.raises(TrainingError) as refusal:
        two_saved.load_best()
    assert "restart" in refusal.value.hint


def test_the_clock_waits_as_long_as_it_is_told_or_as_writing_costs(tmp_path):
    patient, hasty = Checkpoints(tmp_path, seconds=60, key="a key"), Checkpoints(tmp_path, seconds=0, key="a key")
    assert not patient.is_due
    assert hasty.is_due
    hasty.save(content(1))
    assert not hasty.is_due, "writing took a while, and takes a fiftieth of the time at most"


@pytest.mark.parametrize("step", [0.1, 0.7, 30])
def test_on_a_slow_disk_writing_takes_a_fiftieth_of_the_time_at_most(tmp_path, monkeypatch, step):
    """A disk on which a checkpoint takes two seconds, steps of so many, for an hour; wanted after each step."""
    now, writing = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])

    def slow(*_):
        now[0] += 2
        writing.append(2)

    checkpoints = Checkpoints(tmp_path, seconds=0, key="a key")
    checkpoints.save(content(1))
    monkeypatch.setattr(checkpoint, "write_checkpoint", lambda path, _: (path.touch(), slow()))
    checkpoints.save(content(1))
    writing.clear()
    begun = now[0]
    while now[0] < begun + 3600:
        now[0] += step
        if checkpoints.is_due:
            checkpoints.save(content(1))
    assert 0 < sum(writing) <= 3600 / 50 + 2
