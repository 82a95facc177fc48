"""The state of the work in a workspace, read from its folders alone: what there is, what stopped, and what comes next.

Nothing here asks or draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfm.core.runs import lookup
from tfm.core.runs.comparable_runs import list_training_commands, read_compared_runs, select_comparable
from tfm.core.runs.job_index import JobIndex, ListedJob
from tfm.core.runs.matching_products import list_newest
from tfm.core.runs.product_facts import read_cache_facts, read_dataset_facts
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.ui import next_steps
from tfm.ui.job_words import describe_count, describe_state, name_job
from tfm.ui.next_steps import NextStep

Line = Literal["Data", "Images", "Models", "Results"]
LINES: tuple[Line, ...] = ("Data", "Images", "Models", "Results")
_LINE_OF_STAGE: dict[str, Line] = {
    **dict.fromkeys(("phantom", "download", "organize"), "Data"),
    **dict.fromkeys(("preprocess", "contact-sheet"), "Images"),
    **dict.fromkeys(("compare", "evaluate", "explain", "predict", "report", "power", "contrast"), "Results"),
}  # a run of another stage is about models


@dataclass(frozen=True)
class Fact:
    """A part of a line, such as "2 trained". A fact that is `missing` has no mark of success."""

    state: Literal["done", "running", "stopped", "failed", "missing"]
    text: str


@dataclass(frozen=True)
class HomeState:
    """`steps` are what can be done next with what there is, the most useful one first."""

    facts: dict[Line, list[Fact]]
    running: list[ListedJob]
    stopped: list[ListedJob]
    failed: list[ListedJob]  # except those that a person dismissed
    steps: list[NextStep]
    trained: list[Run]
    datasets: list[str]  # the newest first, like the caches
    caches: list[str]
    jobs: int

    @property
    def is_empty(self) -> bool:
        return not (self.datasets or self.caches or self.jobs)


class HomeReader:
    """Reads the state again and again; only what changed is read from the disk."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.index = JobIndex(workspace)

    def read(self) -> HomeState:
        self.index.refresh()
        jobs = self.index.top[::-1]
        trained = [one.job for one in self._list_done(*list_training_commands()) if not one.status.part_of]
        runs = [run for run in trained if isinstance(run, Run)]
        datasets, caches = (list_newest(self.workspace, kind) for kind in ("dataset", "cache"))
        running = [one for one in jobs if one.state == "running" or (one.state == "waiting" and one.job.is_alive())]
        is_running = {one.job.id for one in running}
        stopped = [one for one in jobs if one.state in ("paused", "halted", "waiting") and one.job.id not in is_running]
        failed = [one for one in jobs if one.state == "failed" and not one.is_dismissed]
        facts = {line: [*_describe_jobs(line, running, stopped, failed)] for line in LINES}
        facts["Data"] += _describe_datasets(self.workspace, datasets) or self._describe_downloads()
        facts["Images"] += _describe_caches(self.workspace, caches)
        facts["Models"] += [Fact("done", f"{len(runs)} trained")] if runs else []
        facts["Results"] += self._describe_results(runs)
        for line, nothing in zip(LINES, ("no dataset", "no images", "no model", "nothing compared"), strict=True):
            facts[line] = facts[line] or [Fact("missing", f"{nothing} yet")]
        steps = [*self._list_steps(runs, datasets, caches)]
        return HomeState(facts, running, stopped, failed, steps, runs, datasets, caches, len(jobs))

    def _list_done(self, *stages: str) -> list[ListedJob]:
        return [one for one in self.index.runs if one.state == "done" and one.stage in stages]

    def _list_downloads(self) -> list[Path]:
        """The practice images and collections that are complete, the newest first."""
        done = reversed(self._list_done("phantom", "download"))
        places = [Path(str(one.status.result.get("download"))) for one in done]
        return [place for place in dict.fromkeys(places) if place.is_dir()]

    def _describe_downloads(self) -> list[Fact]:
        return [Fact("missing", f"{place.name}: not organized yet") for place in self._list_downloads()[:1]]

    def _list_steps(self, trained: list[Run], datasets: list[str], caches: list[str]) -> Iterator[NextStep]:
        found = [(one.job, one.status) for one in self.index.runs if isinstance(one.job, Run)]
        for study in lookup.list_unused_runs(found, result="winner", setting="study"):
            yield next_steps.train_winner(study)
        if not datasets:
            yield from map(next_steps.organize_download, self._list_downloads()[:1])
        elif not caches:
            yield next_steps.preprocess_dataset(datasets[0])
        else:
            yield from self._follow_models(trained, datasets, caches)

    def _follow_models(self, trained: list[Run], datasets: list[str], caches: list[str]) -> Iterator[NextStep]:
        comparable = select_comparable(trained, trained[-1]) if trained else []
        if len(comparable) > 1:
            ids = {run.id for run in comparable}
            if not self._covers("compare", ids):
                yield next_steps.compare_models(comparable)
            elif not self._covers("report", ids):
                yield next_steps.write_report([run.id for run in comparable])
        about = "more models" if trained else "models on these images"
        yield next_steps.train_models(about, datasets[0] if len(datasets) == 1 else None, caches[0])

    def _covers(self, stage: str, ids: set[str]) -> bool:
        """Whether one comparison or report has all these models."""
        return any(
            ids <= set(read_compared_runs(one.job)) for one in self._list_done(stage) if isinstance(one.job, Run)
        )

    def _describe_results(self, trained: list[Run]) -> list[Fact]:
        """The newest comparison, how many models it lacks, and whether the report is older."""
        compared = self._list_done("compare")
        if not compared or not isinstance(compared[-1].job, Run):
            return []
        ids = read_compared_runs(compared[-1].job)
        names = ", ".join(dict.fromkeys(map(self._name_model, ids)))
        others = len({run.id for run in select_comparable(trained, trained[-1])} - set(ids)) if trained else 0
        facts = [Fact("done", f"compared: {names} ({others} more trained)" if others else f"compared: {names}")]
        if reports := self._list_done("report"):
            is_newer = reports[-1].status.created >= compared[-1].status.created
            facts.append(Fact("done", "report") if is_newer else Fact("missing", "report of an earlier comparison"))
        return facts

    def _name_model(self, run_id: str) -> str:
        found = self.index.find(run_id)
        return found.model if found else run_id


def _describe_jobs(
    line: Line, running: Sequence[ListedJob], stopped: Sequence[ListedJob], failed: Sequence[ListedJob]
) -> Iterator[Fact]:
    """One job of a state by its name, several by their number."""

    def select(jobs: Sequence[ListedJob]) -> list[ListedJob]:
        return [one for one in jobs if _LINE_OF_STAGE.get(one.stage, "Models") == line]

    if here := select(running):
        yield Fact(
            "running",
            f"{name_job(here[0])} {describe_count(here[0].progress)}".strip()
            if len(here) == 1
            else f"{len(here)} running",
        )
    here = select(stopped)
    counts = Counter(one.state for one in here)
    several = {
        "paused": f"paused: {counts['paused']}",
        "halted": f"halted: {counts['halted']}",
        "waiting": f"waiting: {counts['waiting']}",
    }
    for state, count in counts.items():
        only = next(one for one in here if one.state == state)
        yield Fact("stopped", f"{name_job(only)}: {describe_state(only)}" if count == 1 else several[state])
    if here := select(failed):
        yield Fact("failed", f"{name_job(here[0])} failed" if len(here) == 1 else f"{len(here)} failed")


def _describe_datasets(workspace: Workspace, names: Sequence[str]) -> list[Fact]:
    if not names:
        return []
    facts = read_dataset_facts(workspace.dataset_folder(names[0]))
    text = names[0]
    if facts:
        text += f": {facts.images} images of {facts.patients} patients" + (f", {facts.split}" if facts.split else "")
    return [Fact("done", text), *_count_more(names)]


def _describe_caches(workspace: Workspace, names: Sequence[str]) -> list[Fact]:
    if not names:
        return []
    facts = read_cache_facts(workspace.cache_folder(names[0]))
    text = f"{names[0]}: {facts.height} × {facts.width} pixels" if facts else names[0]
    return [Fact("done", text), *_count_more(names)]


def _count_more(names: Sequence[str]) -> list[Fact]:
    return [Fact("done", f"{len(names) - 1} more")] if len(names) > 1 else []
