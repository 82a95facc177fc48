"""A process that torchrun starts: `python -m tfm.training.distributed.rank RUN_FOLDER`.

The first one runs the pipeline and writes its events to its standard output. The others build the same training and
take its steps; they write nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import torch
import torch.distributed as dist
from filelock import FileLock

from tfm.core import registry
from tfm.core.errors import HaltedError, translate_error
from tfm.core.events import to_record
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.runs.torchrun import SHARED_FOLDER, STOP_FILE
from tfm.core.runs.workspace import Workspace
from tfm.training.device import configure_torch, get_nth_device
from tfm.training.distributed.processes import ProcessGroup, broadcast_message, join_processes
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.loop import follow_steps
from tfm.training.recipe import TrainingRecipe
from tfm.training.state import Training

_MOMENT = 5.0
_LOST_NODE = "the command that was started there says why; the training can be resumed from its last checkpoint"


def main() -> int:
    if SHARED_FOLDER in os.environ:
        threading.Thread(target=_end_with_starter, daemon=True).start()
    folder = Path(sys.argv[1])
    try:
        if os.environ["RANK"] == "0":
            _run_pipeline(Run(folder, Workspace(folder.parent.parent)))
        else:
            training = join_training()
            follow_steps(training, training.processes.receive_steps())
            dist.destroy_process_group()  # its threads may abort a process that ends before them
    except Exception as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            sys.stderr.write(f"{error}\n")
            time.sleep(_MOMENT)  # on this node, torchrun ends this process and reports why the other one has ended
            error = HaltedError("a process on another node has ended", hint=_LOST_NODE)
        _save_error(error, folder)
        return 1
    return 0


def _end_with_starter() -> None:
    """The standard input of all processes is a pipe. The kernel closes it when whatever started torchrun dies."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _run_pipeline(run: Run) -> None:
    """Send the events to whatever started torchrun, until it asks to stop. What libraries print goes to the log."""
    stage, settings = registry.find_stage(run.read_stage()), load_settings(run)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel, FileLock(run.folder / "rank0.lock"):
        os.dup2(2, 1)
        with contextlib.closing(stage.generate(settings, run)) as events:  # type: ignore[type-var]
            for event in events:
                channel.write(json.dumps(to_record(event, time.time())) + "\n")
                channel.flush()
                if STOP_FILE in os.environ and Path(os.environ[STOP_FILE]).exists():
                    break


def join_training() -> Training:
    """Build the training of the first process, with its state."""
    join_processes()
    message = broadcast_message()
    recipe = TrainingRecipe.from_json(message["recipe"])
    configure_torch(message["threads"], recipe.machine.deterministic)
    device = get_nth_device(torch.device(message["device"]), int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise each process would take some of the first GPU's memory
    training = recipe.build(device)
    for _ in keep_arrays_on_gpu(training):
        pass
    training.load_state_dict(message["state"])
    training.processes = ProcessGroup(training)
    return training


def _save_error(error: Exception, folder: Path) -> None:
    """Write torchrun's error file, with what the run's own status shows."""
    problem = translate_error(error, folder / "log.txt")
    record = {
        "message": problem.message,
        "timestamp": int(time.time()),
        "hint": problem.hint,
        "kind": type(problem).__name__,
    }
    Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
