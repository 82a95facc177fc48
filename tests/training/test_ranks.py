"""Several processes take the steps that one would take, and what one of them fails by is said by the first."""

import contextlib
import functools
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
from tests.training.bench_top import TINY, BenchTop, learn
from tfm.commands.train import Train
from tfm.core.errors import DataError, HaltedError, TrainingError
from tfm.core.events import Note
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.training.distributed import main_process
from tfm.training.distributed.main_process import Leader, Trouble, gather
from tfm.training.distributed.process_group import Ranks, Together
from tfm.training.recipe import network_of

# Layers that look at each image by itself; dropout, for it must not hang on who takes a batch.
ALIKE = {"architecture": "test_convnext", "dropout": 0.3, "batch_size": 2, "epochs": 3, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def bench_top(tmp_path_factory):
    """Of seven images: with two processes and batches of two, steps of 2 + 2 and of 3 + 0."""
    return BenchTop(tmp_path_factory.mktemp("bench_top"), images=7)


def gathered(training, given, held, network=None):
    settings = resolve(Train, {}, {"dataset": "pocket", "cache": "pocket"} | TINY | given)
    in_size = training.train.cache.images.shape[1:]
    same = functools.partial(network_of, settings.model, None, in_size, seed=1)
    return gather(training, network or same, settings.machine, held)


def learned(bench_top, given):
    training = bench_top.training(given)
    with contextlib.ExitStack() as held:
        training.ranks = returned(gathered(training, given, held))
        return learn(training, bench_top.new_folder())


def same(one, other) -> None:
    for row, expected in zip(one.standing.rows, other.standing.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    for tensor, expected in zip(one.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(tensor, expected)


def test_two_processes_learn_as_one_does_with_as_large_a_step(bench_top):
    both = learned(bench_top, ALIKE | {"devices": 2})
    alone = learned(bench_top, ALIKE | {"accumulate": 2})
    assert (both.ranks.count, alone.ranks.count) == (2, 1)
    assert both.standing.step == alone.standing.step == 6
    same(both, alone)
    assert len({row["train_loss"] for row in alone.standing.rows}) == 3
    undropped = learned(bench_top, ALIKE | {"accumulate": 2, "dropout": 0.0})
    assert undropped.standing.rows != alone.standing.rows


def test_each_batch_of_a_step_is_one_process_s_and_keeps_its_number():
    class Stub(Together):
        def _sum(self, values):
            raise AssertionError("nothing is added up here")

    batches = list("abcdefg")
    for count in (1, 2, 3, 9):
        dealt = [Stub(rank, count).share(batches) for rank in range(count)]
        assert sorted(itertools.chain(*dealt)) == list(enumerate(batches))
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert Ranks().share(batches) == list(enumerate(batches))


@pytest.mark.parametrize(
    ("last_words", "error"),
    [(None, HaltedError), (Trouble("its memory is too small", "choose less", ""), TrainingError)],
)
def test_a_sum_that_never_comes_is_waited_for_only_while_the_others_live(monkeypatch, last_words, error):
    """As a GPU waits, which is never told of a death."""

    class Never:
        def is_completed(self):
            return False

    monkeypatch.setattr("torch.distributed.all_reduce", lambda values, async_op: Never())
    first = Leader(devices=1, nodes=2)
    first._others[1], other = Pipe()
    if last_words:
        other.send(last_words)
    other.close()
    with pytest.raises(error, match="process 2 of 2 on node 2 is gone" if last_words is None else "too small"):
        first.add_up(torch.nn.Linear(2, 1), torch.zeros(()))


def test_who_connects_and_says_nothing_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr(main_process, "_GREETING_SECONDS", 1)
    letting_in = Leader(devices=1, nodes=2).let_in(None)
    port = int(next(letting_in).text.partition("TFM_LEADER=")[2].split(":")[1])
    next(letting_in)
    with socket.create_connection(("localhost", port)):
        later = threading.Thread(target=next, args=(letting_in,), daemon=True)
        later.start()
        later.join(timeout=20)
        assert not later.is_alive()


@pytest.mark.long
@pytest.mark.parametrize("options", [{"precision": "fp16"}, {"ema": 0.9, "gradient_clip": 1e-3, "accumulate": 2}])
def test_a_process_without_any_batch_takes_every_step_all_the_same(bench_top, options):
    few = BenchTop(bench_top.new_folder(), images=3)
    given = ALIKE | {"epochs": 4, "batch_size": 3} | options
    same(learned(few, given | {"devices": 2}), learned(few, given))


@pytest.mark.long
def test_what_another_process_cannot_do_is_told_in_its_own_words(bench_top, tmp_path):
    given = ALIKE | {"devices": 2}
    training = bench_top.training(given)
    with contextlib.ExitStack() as held, pytest.raises(TrainingError, match="is not a finished cache") as refusal:
        returned(gathered(training, given, held, functools.partial(Cache.open, tmp_path)))
    assert "preprocess" in refusal.value.hint
    assert not isinstance(refusal.value, HaltedError | DataError)
    with contextlib.ExitStack() as held, pytest.raises(ProcessError, match="ValueError: ") as defect:
        returned(gathered(training, given, held, functools.partial(int, "many")))
    assert "in _build" in "".join(defect.value.__notes__)


@pytest.mark.long
def test_a_second_node_joins_by_the_line_that_the_first_prints(bench_top):
    given = ALIKE | {"devices": 2, "nodes": 2}
    training = bench_top.training(given)
    with contextlib.ExitStack() as held:
        gathering = gathered(training, given, held)
        line = next(event.text for event in gathering if isinstance(event, Note)).partition(": ")[2]
        assert "nproc-per-node 2" in line
        other = subprocess.Popen(
            line,
            shell=True,
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        training.ranks = returned(gathering)
        learn(training, bench_top.new_folder())
    assert other.wait(timeout=30) == 0
    same(training, learned(bench_top, ALIKE | {"accumulate": 4}))
