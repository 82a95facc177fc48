"""The metrics that a run logged during training, read from its events and exported for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from tfm.core.events import Metrics
from tfm.core.runs.run import Run

Row = dict[str, float]


def read_metrics(run: Run) -> list[tuple[float, Row]]:
    """Read each row with its time. A resumed run logs some rows twice: the last one counts, as in metrics.csv."""
    rows: list[tuple[float, Row]] = []
    for time, event in run.read_events_from(0)[0]:
        if isinstance(event, Metrics):
            while rows and _position(rows[-1][1]) >= _position(event.values):
                rows.pop()
            rows.append((time, event.values))
    return rows


def _position(row: Row) -> float:
    """The first column rises from row to row: the epoch, or the strength of a regression's regularization."""
    return next(iter(row.values()))


def write_for_tensorboard(folder: Path, rows: list[tuple[float, Row]]) -> None:
    """Write each column as a scalar over the epoch, or over the row number where there are no epochs."""
    with SummaryWriter(folder) as writer:
        for number, (time, row) in enumerate(rows, start=1):
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(row.get("epoch", number)), time)
