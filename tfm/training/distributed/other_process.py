"""One of the other processes of a training: it takes its share of each announced step, and ends with the first process.

Started as `python -m tfm.training.distributed.other_process NODE`, with LOCAL_RANK as torchrun sets it, and the first
process's address in TFM_LEADER.
"""

from __future__ import annotations

import contextlib
import io
import os
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

from tfm.training.device import configure_torch, get_nth_device
from tfm.training.distributed.main_process import ADDRESS, Assignment, RemoteError, join_process_group
from tfm.training.distributed.process_group import ProcessGroup
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.loop import follow_steps
from tfm.training.recipe import TrainingRecipe
from tfm.training.state import Training


class OtherProcess(ProcessGroup):
    def __init__(self, rank: int, count: int, first: Connection, messages: SimpleQueue[Any]) -> None:
        super().__init__(rank, count)
        self._first, self._messages = first, messages

    def receive_steps(self) -> Iterator[tuple[int, int, int]]:
        while True:
            yield self._messages.get()

    def collect(self, outputs: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        self._first.send({number: output.float().cpu().numpy() for number, output in outputs.items()})
        return []

    def sum_in_place(self, values: torch.Tensor) -> None:
        try:
            dist.all_reduce(values)
        except RuntimeError:  # another process is gone, and the first one will report it
            _wait_for_the_end()


def main() -> None:
    node, local = int(sys.argv[1]), int(os.environ["LOCAL_RANK"])
    if node == 0:  # here the first process handles signals; on another node torchrun must be able to end this process
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    host, port, key = os.environ[ADDRESS].split(":")
    first = Client((host, int(port)), authkey=key.encode())
    first.send((node, local))
    messages: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(first, messages), daemon=True).start()
    try:
        _work(first, host, local, messages)
    except Exception as error:
        with contextlib.suppress(OSError):  # the first process has ended already
            first.send(RemoteError.of(error))
    _wait_for_the_end()


def _receive(first: Connection, messages: SimpleQueue[Any]) -> None:
    """Run in a thread of its own, so that this process ends with the first one, whatever it waits for."""
    try:
        while True:
            messages.put(first.recv())
    except (EOFError, OSError):
        os._exit(0)


def _wait_for_the_end() -> NoReturn:
    while True:
        threading.Event().wait()


def _work(first: Connection, host: str, local: int, messages: SimpleQueue[Any]) -> None:
    assignment: Assignment = messages.get()
    training = _build(assignment, local)
    first.send(None)
    machine = training.recipe.machine
    process = OtherProcess(assignment.rank, machine.devices * machine.nodes, first, messages)
    training.processes = process
    store = TCPStore(host, messages.get(), is_master=False)
    join_process_group(store, process.rank, process.count, training.device)
    training.load_state_dict(torch.load(io.BytesIO(messages.get()), map_location="cpu", weights_only=True))
    follow_steps(training, process.receive_steps())


def _build(assignment: Assignment, local: int) -> Training:
    recipe = TrainingRecipe.from_json(assignment.recipe)
    configure_torch(assignment.threads, recipe.machine.deterministic)
    device = get_nth_device(torch.device(assignment.first_device), local)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise each process would take some of the first GPU's memory
    training = recipe.build(device)
    for _ in keep_arrays_on_gpu(training):
        pass
    return training


if __name__ == "__main__":
    main()
