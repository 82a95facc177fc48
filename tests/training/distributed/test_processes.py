"""Several processes take the same steps as one, and the first reports the errors of the others."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
from multiprocessing import Pipe, ProcessError
from pathlib import Path

import pytest
import torch

from tests.returned import returned
from tests.training.small_training import SmallTrainings, train_to_end
from tfm.core.errors import DataError, HaltedError, TrainingError
from tfm.core.events import Note
from tfm.training.distributed.main_process import Assignment, MainProcess, RemoteError, start_processes
from tfm.training.distributed.process_group import ProcessGroup, SingleProcess

# No batch statistics. Dropout must not depend on which process computes a batch.
NO_BATCH_STATISTICS = {
    "architecture": "test_convnext",
    "dropout": 0.3,
    "batch_size": 2,
    "epochs": 3,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """Seven images, for two processes with batches of two, give steps of 2 + 2 and 3 + 0."""
    return SmallTrainings(tmp_path_factory.mktemp("trainings"), images=7)


def train(trainings, given):
    training = trainings.make(given)
    with contextlib.ExitStack() as held:
        training.processes = returned(start_processes(training, held))
        return train_to_end(training, trainings.new_folder())


def assert_alike(one, other) -> None:
    for row, expected in zip(one.state.rows, other.state.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    for tensor, expected in zip(one.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(tensor, expected)


def test_two_processes_train_like_one_with_the_same_step_size(trainings):
    both = train(trainings, NO_BATCH_STATISTICS | {"devices": 2})
    alone = train(trainings, NO_BATCH_STATISTICS | {"accumulate": 2})
    assert (both.processes.count, alone.processes.count) == (2, 1)
    assert both.state.step == alone.state.step == 6
    assert_alike(both, alone)
    assert len({row["train_loss"] for row in alone.state.rows}) == 3
    without_dropout = train(trainings, NO_BATCH_STATISTICS | {"accumulate": 2, "dropout": 0.0})
    assert without_dropout.state.rows != alone.state.rows


def test_each_batch_of_a_step_belongs_to_one_process_and_keeps_its_number():
    class Stub(ProcessGroup):
        def sum_in_place(self, values):
            raise AssertionError("nothing is summed here")

    batches = list("abcdefg")
    for count in (1, 2, 3, 9):
        shares = [Stub(rank, count).share(batches) for rank in range(count)]
        assert sorted(itertools.chain(*shares)) == list(enumerate(batches))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert SingleProcess().share(batches) == list(enumerate(batches))


@pytest.mark.parametrize(
    ("last_message", "error"),
    [(None, HaltedError), (RemoteError("its memory is too small", "choose less", ""), TrainingError)],
)
def test_waiting_for_a_sum_ends_when_another_process_dies(monkeypatch, last_message, error):
    """The operation never completes, as on a GPU after the death of another process."""

    class Never:
        def is_completed(self):
            return False

    monkeypatch.setattr("torch.distributed.all_reduce", lambda values, async_op: Never())
    first = MainProcess(devices=1, nodes=2)
    connection, other = Pipe()
    first.add_connection(1, connection)
    if last_message:
        other.send(last_message)
    other.close()
    with pytest.raises(error, match="process 2 of 2 on node 2 is gone" if last_message is None else "too small"):
        first.add_up(torch.nn.Linear(2, 1), torch.zeros(()))


def test_silent_connection_does_not_block_the_start():
    starting = MainProcess(devices=1, nodes=2, greeting_seconds=1).accept(Assignment(0, "", "cpu", 1))
    port = int(next(starting).text.partition("TFM_LEADER=")[2].split(":")[1])
    next(starting)
    with socket.create_connection(("localhost", port)):
        later = threading.Thread(target=next, args=(starting,), daemon=True)
        later.start()
        later.join(timeout=20)
        assert not later.is_alive()


@pytest.mark.long
@pytest.mark.parametrize("options", [{"precision": "fp16"}, {"ema": 0.9, "gradient_clip": 1e-3, "accumulate": 2}])
def test_process_without_a_batch_still_takes_every_step(trainings, options):
    few = SmallTrainings(trainings.new_folder(), images=3)
    given = NO_BATCH_STATISTICS | {"epochs": 4, "batch_size": 3} | options
    assert_alike(train(few, given | {"devices": 2}), train(few, given))


@pytest.mark.long
def test_error_of_another_process_keeps_its_hint_and_a_defect_its_traceback(trainings, tmp_path):
    training = trainings.make(NO_BATCH_STATISTICS | {"devices": 2})
    recipe = training.recipe

    def start_with(*caches):
        data = recipe.data.model_copy(update={"caches": caches})
        training.recipe = recipe.model_copy(update={"data": data})
        with contextlib.ExitStack() as held:
            returned(start_processes(training, held))

    with pytest.raises(TrainingError, match="is not a finished cache") as refusal:
        start_with(tmp_path)
    assert "preprocess" in refusal.value.hint
    assert not isinstance(refusal.value, HaltedError | DataError)
    with pytest.raises(ProcessError, match="ValueError: ") as defect:
        start_with()
    assert "open_cache" in "".join(defect.value.__notes__)


@pytest.mark.long
def test_second_node_joins_with_the_printed_command(trainings):
    training = trainings.make(NO_BATCH_STATISTICS | {"devices": 2, "nodes": 2})
    with contextlib.ExitStack() as held:
        starting = start_processes(training, held)
        line = next(event.text for event in starting if isinstance(event, Note)).partition(": ")[2]
        assert "nproc-per-node 2" in line
        other = subprocess.Popen(
            line,
            shell=True,
            cwd=Path(__file__).resolve().parents[3],
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        training.processes = returned(starting)
        train_to_end(training, trainings.new_folder())
    assert other.wait(timeout=30) == 0
    assert_alike(training, train(trainings, NO_BATCH_STATISTICS | {"accumulate": 4}))
