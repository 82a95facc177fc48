"""The figures a run told while it worked, as curves, and as files that TensorBoard reads.

They come from the run's events alone; what is made of predictions stands in judge and figures.
"""

from __future__ import annotations

from pathlib import Path

from tfm.core.events import Metrics
from tfm.core.runs.run import Run

Row = dict[str, float]


def read_metrics(run: Run) -> list[tuple[float, Row]]:
    """Each with the time at which it was told. A run that was taken up again tells some rows twice: the last word
    holds, as in metrics.csv."""
    told: list[tuple[float, Row]] = []
    for time, event in run.read_events_from(0)[0]:
        if isinstance(event, Metrics):
            while told and _place(told[-1][1]) >= _place(event.values):
                told.pop()
            told.append((time, event.values))
    return told


def _place(row: Row) -> float:
    """The first column says which row it is, and rises: the epoch, or of a regression how little it is held back."""
    return next(iter(row.values()))


def write_for_tensorboard(folder: Path, told: list[tuple[float, Row]]) -> None:
    """One scalar a column at its own time, over its epoch; of what takes no epochs over the number of the row."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        for number, (time, row) in enumerate(told, start=1):
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(row.get("epoch", number)), time)
