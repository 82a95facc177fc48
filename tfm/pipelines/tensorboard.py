"""Write the metrics of runs as TensorBoard files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tfm.analysis.tensorboard_export import read_metrics, write_for_tensorboard
from tfm.commands.tensorboard import Tensorboard
from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Progress, Result
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def write_tensorboard(settings: Tensorboard, run: Run) -> Iterator[Event]:
    place = run.folder / "tensorboard"
    shutil.rmtree(place, ignore_errors=True)  # of an earlier start: TensorBoard would show its curves twice
    chosen = list(dict.fromkeys(settings.runs))
    for done, name in enumerate(chosen, 1):
        metrics = read_metrics(find_run(run.workspace, name))
        if not metrics:
            raise DataError(f"the events of {name} contain no metrics", hint="leave it out, or restart it")
        write_for_tensorboard(place / name, metrics)
        yield Progress("runs", done, len(chosen), "runs")
    yield Note(f"to see the curves: tensorboard --logdir {place}")
    outputs = sorted(str(path) for path in place.rglob("*") if path.is_file())
    yield Result({"run": run.id, "runs": len(chosen), "folder": str(place)}, outputs=outputs)
