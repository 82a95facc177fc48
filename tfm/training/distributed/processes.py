"""The processes that train one network, as the loop sees them. A single process is the usual case.

DistributedDataParallel sums the gradients while they are computed. Each process takes its batches of a step. A process
without one computes the first batch with a loss of zero, so that it takes part in the sum; `Join` would need one more
collective in each step. The first process decides which step comes next, and when to end.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from tfm.core.errors import TrainingError
from tfm.core.runs.torchrun import SHARED_FOLDER
from tfm.core.settings import presets
from tfm.training.batches import Batch

if TYPE_CHECKING:
    from tfm.training.state import Training

_SUM_PATIENCE = timedelta(minutes=10)  # a step takes as long as the slowest process, which may be compiling
_STEP_PATIENCE = timedelta(days=7)  # the first process validates while the others wait for the next step
_END = -1


class Share(NamedTuple):
    """A batch of a step that this process computes."""

    number: int  # among all batches of the step: it seeds dropout, whoever computes the batch
    places: np.ndarray
    factor: int  # of the loss: DistributedDataParallel divides the sum by the number of processes
    is_last: bool


class SingleProcess:
    rank, count = 0, 1

    def share(self, batches: list[np.ndarray]) -> list[Share]:
        """This process's batches of a step."""
        own = list(enumerate(batches))[self.rank :: self.count]
        shares = [Share(number, places, self.count, number == own[-1][0]) for number, places in own]
        return shares or [Share(len(batches) + self.rank, batches[0], 0, True)]

    def compute_loss(self, training: Training, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return training.task.compute_loss(training.compiled_network, batch)

    def hold_back_gradients(self) -> contextlib.AbstractContextManager[None]:
        """Do not sum the gradients of a batch that another one follows in the same step."""
        return contextlib.nullcontext()

    def combine(
        self, loss: torch.Tensor, outputs: dict[int, torch.Tensor], batches: list[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the losses, and the outputs of all batches in their order, over all processes."""
        return loss, torch.cat([output.float() for _, output in sorted(outputs.items())])

    def announce_step(self, epoch: int, epoch_step: int, step: int) -> None:
        """Let the other processes take this step too. Each knows its images."""

    def receive_steps(self) -> Iterator[tuple[int, int, int]]:
        """The steps that the first process announces, until it announces the end."""
        step = torch.zeros(3, dtype=torch.int64)
        while True:
            dist.broadcast(step, 0)
            epoch, epoch_step, number = step.tolist()
            if epoch == _END:
                return
            yield epoch, epoch_step, number


class ProcessGroup(SingleProcess):
    """One of several processes. All compute the same sums to the last bit, and so take the same step."""

    def __init__(self, training: Training) -> None:
        _check_equal("cache", b"".join((folder / "index.csv").read_bytes() for folder in training.recipe.data.caches))
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        device, has_gpu = training.device, training.device.type == "cuda"
        group = dist.new_group(
            backend="nccl" if has_gpu else "gloo", timeout=_SUM_PATIENCE, device_id=device if has_gpu else None
        )
        assert isinstance(group, dist.ProcessGroup)
        self._group = group
        self._shared = DistributedDataParallel(
            _StepLoss(training),
            process_group=self._group,
            broadcast_buffers=False,  # only those of the first process are validated and saved
            gradient_as_bucket_view=True,
        )

    def compute_loss(self, training: Training, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        loss, outputs = self._shared(batch)
        return loss, outputs

    def hold_back_gradients(self) -> contextlib.AbstractContextManager[None]:
        return self._shared.no_sync()  # type: ignore[no-any-return]

    def combine(
        self, loss: torch.Tensor, outputs: dict[int, torch.Tensor], batches: list[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum over all processes. An image's outputs are zero in all of them but one."""
        width = next(iter(outputs.values())).shape[1]
        parts = [loss.new_zeros(len(places), width) for places in batches]
        for number, output in outputs.items():
            if number < len(batches):
                parts[number] = output.float()
        together = torch.cat([loss[None], torch.cat(parts).flatten()])
        dist.all_reduce(together, group=self._group)
        return together[0], together[1:].view(sum(map(len, batches)), width)

    def announce_step(self, epoch: int, epoch_step: int, step: int) -> None:
        dist.broadcast(torch.tensor([epoch, epoch_step, step]), 0)

    def announce_end(self) -> None:
        self.announce_step(_END, _END, _END)


class _StepLoss(nn.Module):
    """All that a step computes from the weights: DistributedDataParallel must see the whole of it."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.network, self._task = training.compiled_network, training.task

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return self._task.compute_loss(self.network, batch)


@contextlib.contextmanager
def share_steps(training: Training) -> Iterator[None]:
    """Let all processes that torchrun has started take the steps of this training, which the first one runs."""
    if not dist.is_torchelastic_launched():
        yield
        return
    join_processes()
    broadcast_message(
        {
            "recipe": training.recipe.as_replica(training.batch_size).to_json(),
            "device": str(training.device),
            "threads": torch.get_num_threads(),
            "state": training.state_dict(),
        }
    )
    training.processes = group = ProcessGroup(training)
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # another process is gone
            group.announce_end()
        training.processes = SingleProcess()
        dist.destroy_process_group()


def join_processes() -> None:
    """Join over files on one node, so that nothing listens beyond the loopback device; else over torchrun's store."""
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    folder = os.environ.get(SHARED_FOLDER)
    store = FileStore(str(Path(folder) / "ranks"), count) if folder else None
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=_STEP_PATIENCE)
    files = sorted((presets.PROJECT / "tfm").rglob("*.py"))
    _check_equal("program", b"".join([torch.__version__.encode(), *(file.read_bytes() for file in files)]))


def broadcast_message(message: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send the first process's message to the others, which give none."""
    packed = io.BytesIO()
    torch.save(message, packed)
    size = torch.tensor(packed.tell())
    dist.broadcast(size, 0)
    content = torch.frombuffer(bytearray(packed.getvalue() if message else int(size)), dtype=torch.uint8)
    dist.broadcast(content, 0)
    received: dict[str, Any] = torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)
    return received


def _check_equal(what: str, content: bytes) -> None:
    """Refuse processes with different contents. All processes call this."""
    digest = torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8)
    digests = [torch.empty_like(digest) for _ in range(dist.get_world_size())]
    dist.all_gather(digests, digest)
    for rank, other in enumerate(digests):
        if not torch.equal(other, digests[0]):
            raise TrainingError(
                f"the {what} of process {rank + 1} of {len(digests)} is not that of the first process",
                hint="all nodes must have the same program, PyTorch and workspace: put them on a shared disk",
            )
