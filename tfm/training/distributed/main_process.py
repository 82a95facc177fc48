"""The first of several processes, which is the run's own worker: it starts the others, tells them each step, and says
what they died of. They are held by a connection each, which the kernel closes on any death, at either end.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import AuthenticationError, ProcessError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tfm.core.errors import HaltedError, TFMError, TrainingError
from tfm.core.events import Event, Note, Progress
from tfm.core.settings import presets
from tfm.training.batches import Normalisation
from tfm.training.checkpoint import Checkpoints
from tfm.training.distributed.process_group import Ranks, Together
from tfm.training.inputs.lineage import Origin
from tfm.training.inputs.samples import Rows
from tfm.training.loop import fit
from tfm.training.settings import BatchSettings, MachineSettings, OptimSettings
from tfm.training.state import Training
from tfm.training.tasks import Task

ADDRESS = "TFM_LEADER"  # host:port:key, in the environment of those that are to join
PATIENCE = timedelta(minutes=10)  # with one that lives and does nothing: compiling may take it that much longer
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.001
_GREETING_SECONDS = 5
_LAST_WORDS_SECONDS = 10.0  # between a connection that broke and the word of why


@dataclass(frozen=True)
class Brief:
    """What the others build the same training from; how far it has come they are told when it begins."""

    network: Callable[[], nn.Module]
    task: Task
    batches: BatchSettings
    optim: OptimSettings
    machine: MachineSettings
    seed: int
    caches: tuple[Path, ...]
    train: Rows
    val: Rows
    normalisation: Normalisation
    device: torch.device  # the first process's
    batch_size: int
    threads: int


class Trouble(NamedTuple):
    """The last words of another process. Without a hint it is a defect."""

    message: str
    hint: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Trouble:
        if isinstance(error, TFMError):
            return cls(error.message, error.hint, "")
        return cls(f"{type(error).__name__}: {error}", "", "".join(traceback.format_exception(error)))

    def as_error(self) -> Exception:
        """As if it had happened here."""
        if self.hint:
            return TrainingError(self.message, hint=self.hint)
        error = ProcessError(self.message)
        error.add_note(self.trace)
        return error


def gather(
    training: Training, network: Callable[[], nn.Module], machine: MachineSettings, held: contextlib.ExitStack
) -> Generator[Event, None, Ranks]:
    """All processes that `machine` wants, each ready for its first step; `held` ends them. They build the network by
    `network`, in whatever weights, and so it must be a function that can be pickled."""
    if machine.devices * machine.nodes == 1:
        return Ranks()
    brief = Brief(
        network,
        training.task,
        training.batches,
        training.optim,
        machine,
        training.seed,
        (training.train.cache.folder, *training.train.cache.joined_folders),
        training.train.rows,
        training.val.rows,
        training.train.normalisation,
        training.train.device,
        training.batch_size,
        torch.get_num_threads(),
    )
    leader = Leader(machine.devices, machine.nodes)
    held.callback(leader.close)
    yield from leader.let_in(brief)
    leader.connect(brief.device)
    yield Note(f"{leader.count} processes take a share of each step")
    return leader


def learn(
    training: Training,
    network: Callable[[], nn.Module],
    machine: MachineSettings,
    checkpoints: Checkpoints,
    metrics_file: Path,
    before: Origin | None = None,
) -> Iterator[Event]:
    """`fit`, by as many processes as are wanted."""
    with contextlib.ExitStack() as held:
        training.ranks = yield from gather(training, network, machine, held)
        yield from fit(training, checkpoints, metrics_file, before)


class Leader(Together):
    def __init__(self, devices: int, nodes: int) -> None:
        super().__init__(0, devices * nodes)
        self._devices, self._nodes = devices, nodes
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # of this node, by rank
        self._others: dict[int, Connection] = {}
        self._heard: dict[int, Any] = {}  # of each other one, what it has said last

    def let_in(self, brief: Brief) -> Iterator[Event]:
        """Until each has built its training. Every event is a point at which the wait may be paused."""
        key = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1" if self._nodes == 1 else "", 0)) as door:
            yield from self._call(door.getsockname()[1], key)
            while len(self._heard) < self.count - 1:
                yield Progress("starting the other processes", len(self._heard), self.count - 1, "processes")
                self._check_started()
                if door in wait([door, *self._others.values()], _LOOK_SECONDS):
                    with contextlib.suppress(AuthenticationError, EOFError, OSError):  # a stranger
                        self._welcome(door.accept()[0], key.encode(), brief)
                self._hear(0)
        yield Progress("starting the other processes", len(self._heard), self.count - 1, "processes")
        self._heard.clear()

    def _call(self, port: int, key: str) -> Iterator[Event]:
        """Start those of this node, and say how those of the others are started."""
        here = os.environ | {ADDRESS: f"127.0.0.1:{port}:{key}"}
        for local in range(1, self._devices):
            self._processes[local] = subprocess.Popen(
                [sys.executable, "-m", "tfm.training.distributed.other_process", "0"],
                stdin=subprocess.DEVNULL,
                env=here | {"LOCAL_RANK": str(local)},
                cwd=presets.PROJECT,
            )
        for node in range(1, self._nodes):
            yield Note(
                f"now start, in the program's folder on node {node + 1} of {self._nodes}: "
                f"{ADDRESS}={socket.gethostname()}:{port}:{key} python -m torch.distributed.run --standalone "
                f"--nproc-per-node {self._devices} -m tfm.training.distributed.other_process {node}"
            )

    def _check_started(self) -> None:
        for rank, process in self._processes.items():
            if rank not in self._others and process.poll() is not None:
                raise self._lost(rank)

    def _welcome(self, caller: socket.socket, key: bytes, brief: Brief) -> None:
        """As multiprocessing's own listener does it, which nothing else can be waited for beside; and who says nothing
        is not waited for."""
        with caller:  # a second handle of the same connection
            _listen_at_most(caller, _GREETING_SECONDS)
            connection = Connection(os.dup(caller.fileno()))
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            node, local = connection.recv()
            _listen_at_most(caller, 0)  # as long as it takes
        rank = node * self._devices + local
        # As bytes: a connection of torch's would pass the tensors of a task on as shared memory.
        connection.send((rank, pickle.dumps(brief)))
        self._others[rank] = connection

    def connect(self, device: torch.device) -> None:
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self._send(store.port)
        with self._told_why():
            join(store, self.rank, self.count, device)

    def begin(self, content: dict[str, Any]) -> None:
        packed = io.BytesIO()
        torch.save(content, packed)
        self._send(packed.getvalue())

    def tell(self, epoch: int, epoch_step: int, step: int) -> None:
        self._send((epoch, epoch_step, step))

    def collect(self, given: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        while len(self._heard) < self.count - 1:
            self._hear(_LOOK_SECONDS)
        for theirs in self._heard.values():
            given |= {number: torch.from_numpy(answers) for number, answers in theirs.items()}
        self._heard.clear()
        return super().collect(given)

    def _sum(self, values: torch.Tensor) -> None:
        """Waits with an eye on the others: of a dead one, a GPU alone would never tell."""
        with self._told_why():
            work = dist.all_reduce(values, async_op=True)
            while not work.is_completed():
                self._hear(_POLL_SECONDS)
            work.wait()

    def _send(self, message: Any) -> None:
        with self._told_why():
            for connection in self._others.values():
                connection.send(message)

    @contextlib.contextmanager
    def _told_why(self) -> Iterator[None]:
        """Where a connection breaks, what its other end died of."""
        try:
            yield
        except (RuntimeError, OSError):
            self._hear(_LAST_WORDS_SECONDS)
            raise

    def _hear(self, seconds: float) -> None:
        """Trouble of another, or its death, ends the training."""
        ranks = {connection: rank for rank, connection in self._others.items()}
        for connection in wait(list(ranks), seconds):
            assert isinstance(connection, Connection)
            rank = ranks[connection]
            try:
                said = connection.recv()
            except (EOFError, OSError):
                raise self._lost(rank) from None
            if isinstance(said, Trouble):
                raise said.as_error()
            self._heard[rank] = said

    def _lost(self, rank: int) -> HaltedError:
        process = self._processes.get(rank)
        what = _end_of(process) if process else f"on node {rank // self._devices + 1} is gone"
        return HaltedError(
            f"process {rank + 1} of {self.count} {what}",
            hint="the training can go on from its last checkpoint; if nobody ended that process, its machine may have "
            "run out of memory",
        )

    def close(self) -> None:
        for connection in self._others.values():
            connection.close()  # at which they end
        if dist.group.WORLD is not None:
            dist.group.WORLD.abort()  # what still waits for another would wait for ever
            dist.destroy_process_group()
        for process in self._processes.values():
            process.kill()
            process.wait()


def _listen_at_most(connection: socket.socket, seconds: int) -> None:
    """The kernel's own clock: Python's would make its handle one that never waits."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def join(store: TCPStore, rank: int, count: int, device: torch.device) -> None:
    if device.type == "cuda":
        # NCCL, told which GPU, connects here, where all are ready. Else it would within the first sum, without an end
        # and without a word of one that has died by then.
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", store=store, rank=rank, world_size=count, timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)


def _end_of(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(_LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        return "has broken its connection"
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
