"""Write the curves of training as files for TensorBoard

One curve for each figure of each run, with the times at which they were told. The runs themselves stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Progress, Result
from tfm.core.registry import stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.schema import POSITIONAL, Settings, TrainedRun


class Tensorboard(Settings):
    runs: Annotated[list[TrainedRun], POSITIONAL, Field(min_length=1)]
    """Which train runs to write for TensorBoard
    None named: every finished one of the workspace."""


@stage(version=1)
def tensorboard(settings: Tensorboard, run: Run) -> Iterator[Event]:
    from tfm.analysis.learning_curves import read_metrics, write_for_tensorboard

    place = run.folder / "tensorboard"
    shutil.rmtree(place, ignore_errors=True)  # of a try that was stopped: its files would be shown twice
    chosen = list(dict.fromkeys(settings.runs))
    for done, name in enumerate(chosen, 1):
        told = read_metrics(find_run(run.workspace, name))
        if not told:
            raise DataError(f"the events of {name} tell no figures", hint="leave it out, or restart it")
        write_for_tensorboard(place / name, told)
        yield Progress("runs", done, len(chosen), "runs")
    yield Note(f"to see them: tensorboard --logdir {place}")
    outputs = sorted(str(path) for path in place.rglob("*") if path.is_file())
    yield Result({"run": run.id, "runs": len(chosen), "folder": str(place)}, outputs=outputs)
