"""Jobs at work, as their logs tell it, and the lines that a window shows of them."""

import io

from rich.console import Console

from tfm.core.events import CurrentValues, Metrics, Note, Progress, StateChange
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.ui.job_view import JobView
from tfm.ui.screens.draw_job import draw_job

TOY = "learn"
KEYS = "p pause"
COLUMNS = (
    *("learning_rate", "train_loss", "train_accuracy", "train_auc"),
    *("val_loss", "val_accuracy", "val_auc"),
)
LONG = "a film whose name is long " * 9


def on_screen(job, columns, rows):
    file = io.StringIO()
    console = Console(file=file, width=columns, height=rows, force_terminal=True, color_system=None)
    view = JobView(job)
    view.refresh()
    console.print(draw_job(view, console, KEYS))
    return file.getvalue().splitlines()


def at_work(workspace, epochs=3, notes=("it begins",)):
    """A run in its last epoch, as its log tells it."""
    run = find_or_create_job(workspace, TOY, {"epochs": epochs})
    with run.open_event_log():
        run.record(StateChange("running"))
        for note in notes:
            run.record(Note(note))
        for epoch in range(1, epochs):
            run.record(Progress("epoch", epoch, epochs, "epochs"))
            run.record(Progress("step", 1, 20, "batches", within="epoch"))
            run.record(Metrics({"epoch": epoch} | dict.fromkeys(COLUMNS, 1 / epoch)))
        run.record(
            CurrentValues({"images/s": "412", "GPU memory": "3.1 of 80 GiB", "best": "val_auc 0.861 in epoch 2"})
        )
    return run
