"""Steps of a training that two processes share, and steps of a bare DistributedDataParallel loop, in turn.

torchrun starts it: `-m tests.bench.shared_steps ARCHITECTURE FOLDER`. The first process writes FOLDER/seconds.json.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel

from tests.training.bare_training import build_bare_training, draw_batch, select_samples, take_step
from tfm.data.cache.cache import Cache
from tfm.training.checkpoint import Checkpoints
from tfm.training.distributed.rank import join_training
from tfm.training.loop import follow_steps, run_training
from tfm.training.state import Training

PROCESSES, BATCH, STEPS, WARM = 2, 8, 12, 3


def main(architecture: str, folder: Path) -> None:
    torch.set_num_threads(1)
    cache = Cache.open(folder)
    given = {"batch_size": BATCH, "devices": PROCESSES, "ema": None}
    samples = select_samples(cache, PROCESSES * BATCH * (STEPS + WARM))
    training, other = (build_bare_training(architecture, cache, samples, given, torch.device("cpu")) for _ in range(2))
    bare_steps = repeat_bare_steps(other)
    if os.environ["RANK"] != "0":
        joined = join_training()
        follow_steps(joined, alternate(joined.processes.receive_steps(), bare_steps))
        return
    events = run_training(training, Checkpoints(folder / "checkpoints", 1e9, "a key"), folder / "metrics.csv")
    pairs = [(measure(lambda: take_step(events)), measure(lambda: next(bare_steps))) for _ in range(STEPS + WARM)]
    (folder / "seconds.json").write_text(json.dumps(pairs[WARM:]))
    events.close()  # type: ignore[attr-defined]


def repeat_bare_steps(training: Training) -> Iterator[None]:
    """Forward, loss, backward, clip and optimizer on a batch that is always there."""
    shared = DistributedDataParallel(training.network)
    batch, weights = draw_batch(training), list(training.network.parameters())
    training.network.train()
    while True:
        training.optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(shared(batch.images)[:, 0], batch.targets["labels"])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0).item()
        training.optimizer.step()
        yield


def alternate(announced: Iterator[tuple[int, int, int]], bare_steps: Iterator[None]) -> Iterator[tuple[int, int, int]]:
    for step in announced:
        yield step
        next(bare_steps)


def measure(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
