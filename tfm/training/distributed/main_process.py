"""The first of several processes, which is the run's own worker. It starts the others, announces each step, and reports
why another one has ended. It holds a connection to each, which the kernel closes when either end dies.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Generator, Iterator
from datetime import timedelta
from multiprocessing import AuthenticationError, ProcessError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tfm.core.errors import HaltedError, TFMError, TrainingError
from tfm.core.events import Event, Note, Progress
from tfm.core.settings import presets
from tfm.training.checkpoint import Checkpoints
from tfm.training.distributed.process_group import ProcessGroup, SingleProcess
from tfm.training.inputs.starting_point import SourceRun
from tfm.training.loop import run_training
from tfm.training.state import Training

ADDRESS = "TFM_LEADER"  # environment variable of the other processes: host:port:key
PATIENCE = timedelta(minutes=10)  # with a process that lives but does not answer: it may be compiling
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.001
_GREETING_SECONDS = 5
_LAST_MESSAGE_SECONDS = 10.0  # from a broken connection to the reason why


class Assignment(NamedTuple):
    """What another process builds the same training from. Its state follows when training begins."""

    rank: int
    recipe: str  # as JSON
    first_device: str  # of the first process
    threads: int


class RemoteError(NamedTuple):
    """The error that ended another process. Without a hint it is a defect."""

    message: str
    hint: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> RemoteError:
        if isinstance(error, TFMError):
            return cls(error.message, error.hint, "")
        return cls(f"{type(error).__name__}: {error}", "", "".join(traceback.format_exception(error)))

    def to_exception(self) -> Exception:
        if self.hint:
            return TrainingError(self.message, hint=self.hint)
        error = ProcessError(self.message)
        error.add_note(self.trace)
        return error


def start_processes(training: Training, held: contextlib.ExitStack) -> Generator[Event, None, SingleProcess]:
    """Start all processes that the recipe asks for, each ready for its first step. `held` ends them."""
    machine = training.recipe.machine
    if machine.devices * machine.nodes == 1:
        return SingleProcess()
    first = MainProcess(machine.devices, machine.nodes)
    held.callback(first.close)
    replica = training.recipe.as_replica(training.batch_size).to_json()
    yield from first.accept(Assignment(0, replica, str(training.device), torch.get_num_threads()))
    first.connect(training.device)
    yield Note(f"{first.count} processes share each step")
    return first


def train_on_all_devices(
    training: Training, checkpoints: Checkpoints, metrics_file: Path, extended: SourceRun | None = None
) -> Iterator[Event]:
    """Run `run_training` in as many processes as the recipe asks for."""
    with contextlib.ExitStack() as held:
        training.processes = yield from start_processes(training, held)
        yield from run_training(training, checkpoints, metrics_file, extended)


class MainProcess(ProcessGroup):
    def __init__(self, devices: int, nodes: int, greeting_seconds: int = _GREETING_SECONDS) -> None:
        super().__init__(0, devices * nodes)
        self._devices, self._nodes, self._greeting_seconds = devices, nodes, greeting_seconds
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # of this node, by rank
        self._connections: dict[int, Connection] = {}  # to the other processes, by rank
        self._received: dict[int, Any] = {}  # the last message of each

    def accept(self, assignment: Assignment) -> Iterator[Event]:
        """Wait until each process has built its training. The run can be paused at every event."""
        key = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1" if self._nodes == 1 else "", 0)) as server:
            yield from self._start(server.getsockname()[1], key)
            while len(self._received) < self.count - 1:
                yield Progress("starting the other processes", len(self._received), self.count - 1, "processes")
                self._check_started()
                if server in wait([server, *self._connections.values()], _LOOK_SECONDS):
                    with contextlib.suppress(AuthenticationError, EOFError, OSError):  # not one of ours
                        self._greet(server.accept()[0], key.encode(), assignment)
                self._receive(0)
        yield Progress("starting the other processes", len(self._received), self.count - 1, "processes")
        self._received.clear()

    def add_connection(self, rank: int, connection: Connection) -> None:
        self._connections[rank] = connection

    def _start(self, port: int, key: str) -> Iterator[Event]:
        """Start the processes of this node, and say how to start those of the others."""
        environment = os.environ | {ADDRESS: f"127.0.0.1:{port}:{key}"}
        for local in range(1, self._devices):
            self._processes[local] = subprocess.Popen(
                [sys.executable, "-m", "tfm.training.distributed.other_process", "0"],
                stdin=subprocess.DEVNULL,
                env=environment | {"LOCAL_RANK": str(local)},
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
            if rank not in self._connections and process.poll() is not None:
                raise self._describe_loss(rank)

    def _greet(self, caller: socket.socket, key: bytes, assignment: Assignment) -> None:
        """Authenticate as multiprocessing's listener does, which cannot wait for anything else at the same time. A
        caller that says nothing is dropped."""
        with caller:  # a second handle of the same connection
            _set_receive_timeout(caller, self._greeting_seconds)
            connection = Connection(os.dup(caller.fileno()))
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            node, local = connection.recv()
            _set_receive_timeout(caller, 0)  # no limit
        rank = node * self._devices + local
        connection.send(assignment._replace(rank=rank))
        self.add_connection(rank, connection)

    def connect(self, device: torch.device) -> None:
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self._send(store.port)
        with self._explain_broken_connection():
            join_process_group(store, self.rank, self.count, device)

    def begin(self, state: dict[str, Any]) -> None:
        packed = io.BytesIO()
        torch.save(state, packed)
        self._send(packed.getvalue())

    def announce_step(self, epoch: int, epoch_step: int, step: int) -> None:
        self._send((epoch, epoch_step, step))

    def collect(self, outputs: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        while len(self._received) < self.count - 1:
            self._receive(_LOOK_SECONDS)
        for others in self._received.values():
            outputs |= {number: torch.from_numpy(output) for number, output in others.items()}
        self._received.clear()
        return super().collect(outputs)

    def sum_in_place(self, values: torch.Tensor) -> None:
        """Watch the other processes while waiting: a GPU never reports that one of them is dead."""
        with self._explain_broken_connection():
            work = dist.all_reduce(values, async_op=True)
            while not work.is_completed():
                self._receive(_POLL_SECONDS)
            work.wait()

    def _send(self, message: Any) -> None:
        with self._explain_broken_connection():
            for connection in self._connections.values():
                connection.send(message)

    @contextlib.contextmanager
    def _explain_broken_connection(self) -> Iterator[None]:
        """Where a connection breaks, raise what ended the process at its other end."""
        try:
            yield
        except (RuntimeError, OSError):
            self._receive(_LAST_MESSAGE_SECONDS)
            raise

    def _receive(self, seconds: float) -> None:
        """Raise the error of another process, or its death."""
        ranks = {connection: rank for rank, connection in self._connections.items()}
        for connection in wait(list(ranks), seconds):
            assert isinstance(connection, Connection)
            rank = ranks[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                raise self._describe_loss(rank) from None
            if isinstance(message, RemoteError):
                raise message.to_exception()
            self._received[rank] = message

    def _describe_loss(self, rank: int) -> HaltedError:
        process = self._processes.get(rank)
        end = _describe_end(process) if process else f"on node {rank // self._devices + 1} is gone"
        return HaltedError(
            f"process {rank + 1} of {self.count} {end}",
            hint="the training can be resumed from its last checkpoint; if nobody ended that process, its machine may "
            "have run out of memory",
        )

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()  # the other processes end at this
        if dist.group.WORLD is not None:
            dist.group.WORLD.abort()  # otherwise what waits for another process would wait for ever
            dist.destroy_process_group()
        for process in self._processes.values():
            process.kill()
            process.wait()


def _set_receive_timeout(connection: socket.socket, seconds: int) -> None:
    """By the kernel's clock: Python's own timeout would make the handle non-blocking."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def join_process_group(store: TCPStore, rank: int, count: int, device: torch.device) -> None:
    if device.type == "cuda":
        # With a device_id NCCL connects here, where all are ready. Otherwise it would connect in the first sum, without
        # a time limit, even if another process has died by then.
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", store=store, rank=rank, world_size=count, timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)


def _describe_end(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(_LAST_MESSAGE_SECONDS)
    except subprocess.TimeoutExpired:
        return "has broken its connection"
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
