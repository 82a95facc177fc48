"""Prove on this machine that a killed and resumed training ends like an undisturbed one, and measure its pace."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Generator, Iterator, Sequence

import torch

from tfm.analysis.certificate_tables import describe_outcome, tabulate_digests, tabulate_figures, tabulate_kills
from tfm.commands.train import Train
from tfm.core import machine, registry
from tfm.core.errors import BusyError
from tfm.core.events import Event, Note, Progress, Result
from tfm.core.runs.certificate import MACHINE_FACTS, Certificate, Figures, PartDigest, write_certificate
from tfm.core.runs.find_or_create import find_or_create_run
from tfm.core.runs.job_folder import format_now
from tfm.core.runs.kill_run import start_killable_worker
from tfm.core.runs.run import Run
from tfm.core.runs.scratch_workspace import open_scratch_workspace
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.phantom.prepared_dataset import write_prepared_dataset
from tfm.pipelines.kill_training import draw_moments, kill_training, wait_for_end
from tfm.pipelines.train import make_recipe, open_training_data
from tfm.training.device import lock_gpu, name_gpu, resolve_device
from tfm.training.results import compute_digest, list_differing_places, read_training_results
from tfm.training.step_pace import measure_step_pace

_NAME = "proof"  # of the dataset, its cache and the folder of both
_PATIENTS, _SIDE = {"train": 60, "val": 12, "test": 12}, 128
_DATA = {"dataset": _NAME, "cache": _NAME, "weights": "none"}
# Batch normalisation, dropout, augmentation, a moving average and the optimizer's moments: what keeps state.
_TRAINING = _DATA | {
    "architecture": "test_efficientnet",
    "dropout": 0.3,
    "ema": 0.99,
    "epochs": 4,
    "batch_size": 4,
    "checkpoint_seconds": 0,
}
_TIMED_NETWORK, _TIMED_BATCH = "resnet18", {"cpu": 8, "cuda": 32}
_LIMIT_SECONDS = 600.0  # for a machine that is very busy
_SYNCS, _SYNC_SECONDS = 20, 3.0
_SLOW_SYNC_MS = 100.0
_LIMITS = [
    "kill -9 ends a program, not the machine: what the system had not yet written to the disk was not lost. This says "
    "nothing about a power failure.",
    "One small network was trained in fp32, on one device. Other networks, bf16, fp16, compiled networks and several "
    "GPUs were not tried.",
    "Another machine, device or version of the program or its packages needs a proof of its own.",
]


def prove_resume(workspace: Workspace) -> Iterator[Event]:
    device = resolve_device("auto")
    with open_scratch_workspace(workspace, _NAME) as scratch:
        write_prepared_dataset(scratch, _NAME, _PATIENTS, _SIDE, protocol="synthetic images for a proof")
        yield Progress("the pace of this machine", 0, 1)
        figures = _measure_figures(scratch, device)
        certificate = yield from _kill_and_compare(scratch, figures)
    path = write_certificate(workspace, certificate)
    yield from _describe(certificate)
    yield Note(f"Reports of this workspace include the certificate: {path}")
    yield Result({"ok": certificate.is_proven, "certificate": str(path), **certificate.model_dump(mode="json")})


def _describe(certificate: Certificate) -> Iterator[Event]:
    yield tabulate_kills(certificate)
    yield tabulate_digests(certificate)
    yield tabulate_figures(certificate)
    if certificate.figures.sync_milliseconds > _SLOW_SYNC_MS:
        yield Note("the disk of the workspace is slow to confirm writes, and each checkpoint waits for it", "warning")
    for sentence in certificate.limits:
        yield Note(sentence)
    yield Note(describe_outcome(certificate), "info" if certificate.is_proven else "warning")


# --- figures ----------------------------------------------------------------------------------------------------------


def _measure_figures(scratch: Workspace, device: torch.device) -> Figures:
    batch_size = _TIMED_BATCH[device.type]
    settings = resolve(Train, {}, _DATA | {"architecture": _TIMED_NETWORK, "batch_size": batch_size})
    data = open_training_data(settings, scratch)
    syncs = [1000 * one for one in machine.measure_sync_seconds(scratch.root, _SYNCS, _SYNC_SECONDS)]
    with contextlib.ExitStack() as held:
        if device.type == "cuda":
            for event in lock_gpu(name_gpu(device), "a proof", held):
                if isinstance(event, Progress):
                    raise BusyError("the GPU is in use by another run", hint="wait until it is done, then try again")
        recipe = make_recipe(settings, data.cache, data.train, data.val)
        pace = measure_step_pace(recipe, device, _count_threads())
    return Figures(
        network=f"{_TIMED_NETWORK}, {_SIDE} × {_SIDE} pixels, batches of {batch_size}; CPU threads: {_count_threads()}",
        images_per_second=pace.images_per_second,
        determinism_cost=statistics.median(pace.ratios),
        determinism_range=(min(pace.ratios), max(pace.ratios)),
        pairs=len(pace.ratios),
        sync_milliseconds=statistics.median(syncs),
        slowest_sync_milliseconds=max(syncs),
    )


def _count_threads() -> int:
    """Half of the cores: two trainings run at the same time, and more threads than free cores hold each other up."""
    return max(1, machine.count_cores() // 2)


# --- kills ------------------------------------------------------------------------------------------------------------


def _kill_and_compare(scratch: Workspace, figures: Figures) -> Generator[Event, None, Certificate]:
    """Train undisturbed, and at the same time another one that is killed."""
    deadline, seed = time.monotonic() + _LIMIT_SECONDS, random.SystemRandom().randrange(2**32)
    threads = _count_threads()
    stage, settings = registry.find_stage("train"), resolve(Train, {}, _TRAINING | {"threads": threads})

    def create_run() -> Run:
        return find_or_create_run(scratch, stage, settings, None, fresh=True)

    with start_killable_worker(create_run()) as undisturbed:
        killed = yield from kill_training(create_run, draw_moments(seed), deadline)
        wait_for_end(undisturbed, deadline)
    facts = undisturbed.run.read_environment()
    return Certificate(
        date=format_now(),
        machine={name: str(facts[name]) for name in MACHINE_FACTS},
        training=f"{settings.model.architecture} with dropout, augmentation and a moving average of its weights; "
        f"{_SIDE} × {_SIDE} pixels, {settings.optim.epochs} epochs; CPU threads: {threads}",
        moments_seed=seed,
        misses=killed.misses,
        kills=killed.kills,
        digests=_compare(undisturbed.run, killed.runs),
        figures=figures,
        limits=_LIMITS,
    )


def _compare(undisturbed: Run, killed: Sequence[Run]) -> list[PartDigest]:
    expected, found = read_training_results(undisturbed), [*map(read_training_results, killed)]
    digests = []
    for name, part in expected.items():
        worst = max((one[name] for one in found), key=lambda one: len(list_differing_places(part, one)))
        places = list_differing_places(part, worst)
        differing = f"{len(places)} of {len(part)}, such as {places[0]}" if places else ""
        digests.append(
            PartDigest(part=name, undisturbed=compute_digest(part), killed=compute_digest(worst), differing=differing)
        )
    return digests
