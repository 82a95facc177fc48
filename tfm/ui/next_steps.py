"""What a person may want to do after a job is done: commands with their settings, ready for their form."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfm.core.runs import lookup
from tfm.core.runs.comparable_runs import list_training_commands, select_comparable
from tfm.core.runs.inputs import find_readable_runs
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.ui.equivalent_command_line import FilledForm

PRACTICE = "practice"  # the name of the practice images, of their folder and of their dataset


@dataclass(frozen=True)
class NextStep:
    """A command with the settings that are known already. `title` is a verb, `about` its object.

    A step that `starts_at_once` takes seconds and is shown without a review; its form has its other settings.
    """

    title: str
    about: str
    stage: str
    presets: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)
    starts_at_once: bool = False
    origin: Run | None = None  # Esc from the form leads back to the result of this run

    @property
    def filled_form(self) -> FilledForm:
        return FilledForm(self.stage, self.presets, dict(self.given))


def list_next_steps(job: Run | Plan) -> list[NextStep]:
    """The steps that follow a job, or the runs of a plan that are done; the most useful one first."""
    trained = _list_trained_runs(job)
    if isinstance(job, Run):
        return _follow_run(job, trained)
    states = {step: status.state for step, status in job.read_step_statuses().items()}
    ids = [run_id for step, run_id in job.read_runs().items() if states.get(step) == "done"]
    runs = [Run(job.workspace.runs_folder / run_id, job.workspace) for run_id in ids]
    own = [run for run in trained if run.id in ids]
    return _follow_run(runs[-1], own if len(own) > 1 else trained) if runs else []


def _list_trained_runs(job: Run | Plan) -> list[Run]:
    found = find_readable_runs(lookup.read_runs(job.workspace))
    return [run for run, stage in found if stage in list_training_commands()]


def _follow_run(run: Run, trained: list[Run]) -> list[NextStep]:
    stage = run.read_stage()
    if stage in list_training_commands():
        return follow_training(run, select_comparable(trained, run))
    follow = _FOLLOWERS.get(stage)
    return follow(run) if follow else []


def make_practice_images(workspace: Workspace) -> NextStep:
    """Synthetic images in a new folder of the workspace."""
    names = itertools.chain([PRACTICE], (f"{PRACTICE}-{number}" for number in itertools.count(2)))
    name = next(name for name in names if not (workspace.root / name).exists())
    return NextStep("Practice", "on synthetic images", "phantom", given={"out": str(workspace.root / name)})


def organize_download(download: Path) -> NextStep:
    name = re.sub(r"[^\w.-]+", "-", download.name).lstrip(".-") or PRACTICE
    return NextStep(
        "Organize", f"the images in {download.name}", "organize", given={"download": [str(download)], "name": name}
    )


def preprocess_dataset(dataset: str) -> NextStep:
    return NextStep("Preprocess", f"the images of {dataset}", "preprocess", given={"dataset": dataset})


def train_models(about: str, dataset: str | None = None, cache: str | None = None) -> NextStep:
    known = {"dataset": dataset, "cache": cache}
    return NextStep("Train", about, "train", given={name: value for name, value in known.items() if value})


def compare_models(runs: list[Run]) -> NextStep:
    about, given = f"the {len(runs)} trained models, in seconds", {"runs": [run.id for run in runs]}
    return NextStep("Compare", about, "compare", given=given, starts_at_once=True)


def train_winner(study: Run) -> NextStep:
    model = study.read_status().result["model"]
    return NextStep("Train", f"{model} with the best settings", "train", (model,), {"study": study.id})


def write_report(runs: list[str]) -> NextStep:
    models = f"{len(runs)} models" if len(runs) > 1 else "this model"
    return NextStep("Report", f"on {models} as one page", "report", given={"runs": runs})


def follow_training(run: Run, comparable: list[Run]) -> list[NextStep]:
    """With one model there is nothing to compare: train another one."""
    settings = run.read_settings()
    more = train_models("more models", settings.get("dataset"), settings.get("cache"))
    own = [NextStep("Evaluate", "this model in detail", "evaluate", given={"runs": [run.id]})]
    if run.read_stage() == "train":
        own.append(NextStep("Explain", "where this model looks", "explain", given={"run": run.id}))
    return [compare_models(comparable), more, *own] if len(comparable) > 1 else [more, *own]


def _follow_comparison(run: Run) -> list[NextStep]:
    runs = run.read_settings().get("runs", [])
    return [write_report(runs), NextStep("Evaluate", "each model in detail", "evaluate", given={"runs": runs})]


_FOLLOWERS: dict[str, Callable[[Run], list[NextStep]]] = {
    "phantom": lambda run: [organize_download(Path(run.read_status().result["download"]))],
    "download": lambda run: [organize_download(Path(run.read_status().result["download"]))],
    "organize": lambda run: [preprocess_dataset(run.read_status().result["dataset"])],
    "preprocess": lambda run: [
        train_models("models on these images", run.read_settings().get("dataset"), run.read_status().result["cache"])
    ],
    "pretrain": lambda run: [
        NextStep("Train", "a model from these weights", "train", given={"weights": run.read_status().result["encoder"]})
    ],
    "tune": lambda run: [train_winner(run)],
    "compare": _follow_comparison,
    "evaluate": lambda run: [write_report(run.read_settings().get("runs", []))],
    "explain": lambda run: [write_report([run.read_settings()["run"]])],
}
