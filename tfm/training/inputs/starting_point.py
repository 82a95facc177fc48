"""Where a run starts: another run's weights, the end of a run that it extends, or its own checkpoint.

Also which patients these runs have seen.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfm.core.errors import DataError
from tfm.core.events import Event, Note
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.seen_patients import SeenPatients
from tfm.models.normalisation import Normalisation
from tfm.models.settings import FILE, RUN
from tfm.models.weights import read_exported_facts
from tfm.training.checkpoint import Checkpoints
from tfm.training.inputs.samples import Samples, check_unseen
from tfm.training.refuse_leak_lab import refuse_leak_lab
from tfm.training.state import Training

FINGERPRINTS = {
    "dataset_hash": "dataset",
    "split_hash": "split",
    "images_sha256": "images",
    "breast_sha256": "breast masks",
    "lesions_sha256": "lesion masks",
}


@dataclass(frozen=True)
class SourceRun:
    run: Run

    def open_checkpoints(self) -> Checkpoints:
        return Checkpoints(self.run.checkpoints_folder, seconds=0, key=self.run.read_status().key)

    def read_patients_seen(self) -> SeenPatients:
        return SeenPatients.read(self.run)

    def read_normalisation(self) -> Normalisation:
        return Normalisation.from_facts(self.run.read_environment()["normalisation"])

    def read_unknown_origins(self) -> list[str]:
        """The files its weights come from whose training patients are unknown."""
        return list(self.run.read_environment()["origin_unknown"])


def find_weights_source(workspace: Workspace, weights: str, val: Samples, test: Samples) -> SourceRun | None:
    """Find the run that `run:ID` names. Refuse it where it has seen a patient of validation or test."""
    if not weights.startswith(RUN):
        return None
    source = SourceRun(find_run(workspace, weights.removeprefix(RUN)))
    refuse_leak_lab(source.run)
    source.run.check_outputs()
    check_unseen(f"the weights of {source.run.id}", source.read_patients_seen(), validation=val, test=test)
    return source


@dataclass(frozen=True)
class ExportedWeights:
    """A file that `export` wrote: unlike other files, it names the patients that its weights have seen."""

    facts: dict[str, Any]
    salt: str  # of the workspace that reads it; only its own exports were made with it

    def read_patients_seen(self) -> SeenPatients:
        return SeenPatients(self.facts["patients_seen"], self.salt)

    def read_unknown_origins(self) -> list[str]:
        return list(self.facts["origin_unknown"])


def find_exported_weights(workspace: Workspace, weights: str, val: Samples, test: Samples) -> ExportedWeights | None:
    """Open the file that `file:PATH` names if it was exported. Refuse it where it has seen a patient of validation or
    test."""
    path = Path(weights.removeprefix(FILE))
    facts = read_exported_facts(path) if weights.startswith(FILE) else None
    if facts is None:
        return None
    source = ExportedWeights(facts, workspace.read_salt())
    check_unseen(f"the weights in {path}", source.read_patients_seen(), validation=val, test=test)
    return source


def find_study(run: Run, study: str | None, test: Samples) -> SourceRun | None:
    """Find the study that chose the settings. Refuse it where it has seen a test patient; it may share validation."""
    if study is None:
        return None
    source = SourceRun(find_run(run.workspace, study))
    check_unseen(f"the trials of {source.run.id}", source.read_patients_seen(), test=test)
    return source


def check_unchanged(source: SourceRun, fingerprints: dict[str, object]) -> None:
    """Refuse data that changed since the source run: its training patients may be in the test set now."""
    began = source.run.read_environment()
    # Old runs have no fingerprints of the masks.
    changed = [
        words for name, words in FINGERPRINTS.items() if began.get(name, fingerprints[name]) != fingerprints[name]
    ]
    if changed:
        raise DataError(
            f"the {' and '.join(changed)} of {source.run.id} have changed since it was trained",
            hint="train a new run on the data as it is now",
        )


def resume(training: Training, checkpoints: Checkpoints, extended: SourceRun | None) -> Iterator[Event]:
    """Continue from this run's newest checkpoint, else from the end of the run that it extends.

    An extended run keeps its best epoch as the one to beat; patience starts anew.
    """
    restart = f"training starts over{f' from the end of {extended.run.id}' if extended else ''}"
    state = yield from _load_newest(checkpoints, "checkpoint", restart)
    if state:
        training.load_state_dict(state)
        done = training.state
        if done.epoch:  # the end needs it: say so before the epochs that are left
            checkpoints.load_best()
        yield Note(f"resuming from a checkpoint: {done.epoch} epochs and {done.epoch_step} steps are done")
    elif extended:
        theirs = extended.open_checkpoints()
        state = yield from _load_newest(theirs, f"{extended.run.id}'s checkpoint", "there is no other")
        if state is None:
            raise DataError(f"{extended.run.id} has no whole checkpoint", hint="train a new run with more epochs")
        training.load_state_dict(state)
        training.state = replace(training.state, stale=0)
        checkpoints.save_best(theirs.load_best())
        checkpoints.save(training.state_dict())


def _load_newest(checkpoints: Checkpoints, whose: str, otherwise: str) -> Generator[Event, None, dict[str, Any] | None]:
    state, problems = checkpoints.load_newest()
    for problem in problems:
        yield Note(f"{whose} {problem}: {'using the previous one' if state else otherwise}", "warning")
    return state
