"""Write a synthetic download."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.commands.phantom import Phantom
from tfm.core.events import Event, Progress, Result
from tfm.core.runs.run import Run
from tfm.data.phantom.cohort import plan_download
from tfm.data.phantom.download_plan import DownloadPlan
from tfm.data.phantom.traps import parse_traps
from tfm.data.phantom.writer import write_download


def build_plan(settings: Phantom) -> DownloadPlan:
    return plan_download(
        train_women=settings.train_women,
        test_women=settings.test_women,
        kinds=settings.kinds,
        height=settings.height,
        difficulty=settings.difficulty,
        traps=parse_traps(settings.traps),
        shuffle_labels=settings.shuffle_labels,
        seed=settings.seed,
        layout=settings.layout,
    )


def write_phantoms(settings: Phantom, run: Run) -> Iterator[Event]:
    plan = build_plan(settings)
    total = 0
    for done, total in write_download(plan, settings.out):
        yield Progress("phantoms", done, total, "images")
    yield Result(
        {"download": str(settings.out), "mammograms": total},
        outputs=sorted(str(path) for path in settings.out.rglob("*") if path.is_file()),
        summary=f"{total} synthetic mammograms are in {settings.out}. They show no patients: results on them say "
        "nothing about real performance.",
    )
