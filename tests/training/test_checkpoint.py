"""A checkpoint is whole or is refused, and the previous one is kept."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from tfm.core.appended_checksum import append_checksum
from tfm.core.errors import TrainingError
from tfm.training import checkpoint
from tfm.training.checkpoint import Checkpoints, DamagedCheckpoint, read_checkpoint


def make_content(number: int) -> dict:
    return {"step": number, "weights": torch.full((50,), float(number)), "best": float("-inf"), "rows": [{"a": 0.5}]}


def flip_a_bit(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def seal_pickle(path):
    path.write_bytes(pickle.dumps(os.getcwd, protocol=2))
    append_checksum(path)


def seal_list(path):
    torch.save([1], path)
    append_checksum(path)


@pytest.fixture
def two_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path, seconds=60, key="a key")
    for number in (1, 2):
        checkpoints.save(make_content(number))
    return checkpoints


def test_newest_checkpoint_is_loaded(two_saved):
    resumed, problems = two_saved.load_newest()
    assert problems == []
    assert resumed["step"] == 2
    assert torch.equal(resumed["weights"], make_content(2)["weights"])
    assert resumed["best"] == float("-inf")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off, empty, replace_by_folder, seal_pickle, seal_list])
def test_damaged_checkpoint_is_named_and_the_previous_one_loaded(tmp_path, two_saved, damage):
    damage(tmp_path / "last.pt")
    resumed, problems = two_saved.load_newest()
    assert resumed["step"] == 1
    assert len(problems) == 1
    assert "last.pt" in problems[0]
    two_saved.save(make_content(3))
    assert read_checkpoint(tmp_path / "previous.pt")["step"] == 1, "a damaged file never replaces the whole one"
    assert two_saved.load_newest()[0]["step"] == 3


def test_checkpoint_of_another_run_is_refused(tmp_path, two_saved):
    other = Checkpoints(tmp_path / "other", seconds=60, key="another key")
    (tmp_path / "other").mkdir()
    other.save(make_content(9))
    other.save_best(make_content(9))
    for name in ("last.pt", "best.pt"):
        os.replace(tmp_path / "other" / name, tmp_path / name)
    resumed, problems = two_saved.load_newest()
    assert resumed["step"] == 1
    assert problems == ["last.pt cannot be used (it belongs to another run)"]
    with pytest.raises(TrainingError, match="another run"):
        two_saved.load_best()


def test_two_damaged_checkpoints_leave_nothing_to_resume(tmp_path, two_saved):
    flip_a_bit(tmp_path / "last.pt")
    cut_off(tmp_path / "previous.pt")
    resumed, problems = two_saved.load_newest()
    assert resumed is None
    assert [name in line for name, line in zip(("last.pt", "previous.pt"), problems, strict=True)] == [True, True]


def test_kill_between_the_two_renames_loses_nothing(tmp_path, two_saved):
    os.replace(tmp_path / "last.pt", tmp_path / "previous.pt")
    resumed, problems = two_saved.load_newest()
    assert resumed["step"] == 2
    assert problems == []


def test_full_disk_keeps_the_existing_checkpoints(tmp_path, two_saved, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        two_saved.save(make_content(3))
    assert two_saved.load_newest()[0]["step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("count", [10, 1_000_000])
def test_full_disk_is_reported_as_such(count):
    """torch alone would report a RuntimeError that does not mention the disk."""
    with pytest.raises(OSError, match="No space") as refusal:
        checkpoint.write_checkpoint(Path("/dev/full"), {"weights": torch.zeros(count)})
    assert refusal.value.errno == errno.ENOSPC


def test_checkpoint_loads_with_weights_only(tmp_path, two_saved):
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2


def test_damaged_best_checkpoint_is_refused(tmp_path, two_saved):
    two_saved.save_best(make_content(5))
    assert two_saved.load_best()["step"] == 5
    flip_a_bit(two_saved.best)
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(two_saved.best)
    with pytest.raises(TrainingError) as refusal:
        two_saved.load_best()
    assert "restart" in refusal.value.hint


def test_checkpoint_is_due_after_the_interval_or_the_cost_of_writing(tmp_path):
    slow_writer, eager = Checkpoints(tmp_path, seconds=60, key="a key"), Checkpoints(tmp_path, seconds=0, key="a key")
    assert not slow_writer.is_due
    assert eager.is_due
    eager.save(make_content(1))
    assert not eager.is_due, "the next one must wait fifty times as long as writing took"


@pytest.mark.parametrize("step", [0.1, 0.7, 30])
def test_writing_on_a_slow_disk_takes_at_most_a_fiftieth_of_the_time(tmp_path, monkeypatch, step):
    """Writing a checkpoint takes two seconds; one is due after each step, for an hour."""
    now, writing = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])

    def slow(*_):
        now[0] += 2
        writing.append(2)

    checkpoints = Checkpoints(tmp_path, seconds=0, key="a key")
    checkpoints.save(make_content(1))
    monkeypatch.setattr(checkpoint, "write_checkpoint", lambda path, _: (path.touch(), slow()))
    checkpoints.save(make_content(1))
    writing.clear()
    started = now[0]
    while now[0] < started + 3600:
        now[0] += step
        if checkpoints.is_due:
            checkpoints.save(make_content(1))
    assert 0 < sum(writing) <= 3600 / 50 + 2
