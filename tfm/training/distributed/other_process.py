"""One of the other processes of a training: does its share of each step it is told, keeps nothing, ends with the first.

`python -m tfm.training.distributed.other_process NODE`, with LOCAL_RANK as torchrun sets it, and the first address in
TFM_LEADER.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from queue import SimpleQueue
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tfm.data.cache.cache import Cache
from tfm.training import gpu_cache
from tfm.training.device import compute_with, nth
from tfm.training.distributed.main_process import ADDRESS, Brief, Trouble, join
from tfm.training.distributed.process_group import Together
from tfm.training.loop import follow
from tfm.training.recipe import set_up
from tfm.training.state import Training


class Follower(Together):
    def __init__(self, rank: int, count: int, leader: Connection, told: SimpleQueue[Any]) -> None:
        super().__init__(rank, count)
        self._leader, self._told = leader, told

    def orders(self) -> Iterator[tuple[int, int, int]]:
        while True:
            yield self._told.get()

    def collect(self, given: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        self._leader.send({number: answers.float().cpu().numpy() for number, answers in given.items()})
        return []

    def _sum(self, values: torch.Tensor) -> None:
        try:
            dist.all_reduce(values)
        except RuntimeError:  # another one is gone, and the first will say so
            _wait_for_the_end()


def main() -> None:
    node, local = int(sys.argv[1]), int(os.environ["LOCAL_RANK"])
    if node == 0:  # a wish to stop is the first process's to hear; elsewhere torchrun must be able to end us
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    host, port, key = os.environ[ADDRESS].split(":")
    leader = Client((host, int(port)), authkey=key.encode())
    leader.send((node, local))
    told: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(leader, told), daemon=True).start()
    try:
        _work(leader, host, local, told)
    except Exception as error:
        with contextlib.suppress(OSError):  # it has ended already
            leader.send(Trouble.of(error))
    _wait_for_the_end()


def _listen(leader: Connection, told: SimpleQueue[Any]) -> None:
    """A thread of its own, so that whatever the other is waiting for ends with the first process."""
    try:
        while True:
            told.put(leader.recv())
    except (EOFError, OSError):
        os._exit(0)


def _wait_for_the_end() -> NoReturn:
    while True:
        threading.Event().wait()


def _work(leader: Connection, host: str, local: int, told: SimpleQueue[Any]) -> None:
    rank, packed = told.get()
    brief: Brief = pickle.loads(packed)
    training = _build(brief, local)
    leader.send(None)
    machine, device = brief.machine, training.train.device
    ranks = training.ranks = Follower(rank, machine.devices * machine.nodes, leader, told)
    join(TCPStore(host, told.get(), is_master=False), ranks.rank, ranks.count, device)
    training.take_up(torch.load(io.BytesIO(told.get()), map_location="cpu", weights_only=True))
    follow(training, ranks.orders())


def _build(brief: Brief, local: int) -> Training:
    compute_with(brief.threads, brief.machine.deterministic)
    device = nth(brief.device, local)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else each would take some of the first GPU's memory
    cache, *more = (Cache.open(folder) for folder in brief.caches)
    training = set_up(
        brief.network(),
        brief.task,
        brief.batches,
        brief.optim.model_copy(update={"ema": None}),  # only the first is ever asked for the average
        brief.machine,
        seed=brief.seed,
        cache=cache.join(more) if more else cache,
        train=brief.train,
        val=brief.val,
        normalisation=brief.normalisation,
        device=device,
    )
    training.batch_size = brief.batch_size
    for _ in gpu_cache.settle(training):
        pass
    return training


if __name__ == "__main__":
    main()
