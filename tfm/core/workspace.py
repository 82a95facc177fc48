"""The workspace: where everything the program makes lives, and what stands in it. Nothing is made by looking."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from tfm.core import files, offers
from tfm.core.errors import BusyError, DiskError, RunError, SettingsError
from tfm.core.job import Job
from tfm.core.run import Run
from tfm.core.settings import Leaf, Reads, Settings, differing, leaves, value_at

if TYPE_CHECKING:
    from tfm.core.plan import Plan

# What tells a finished product from a half-made one, and its content from another's.
_PRODUCT_FILES = {"dataset": ("manifest.csv",), "cache": ("index.csv", "settings.yaml")}

_HOW_TO_GET = {
    "dataset": "organize a download first: `python wizard.py organize DOWNLOAD`",
    "cache": "preprocess a dataset first: `python wizard.py preprocess`",
}

DEFAULT_WORKSPACE = Path("workspace")


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def runs_folder(self) -> Path:
        return self.root / "runs"

    @property
    def plans_folder(self) -> Path:
        return self.root / "plans"

    @property
    def answers_file(self) -> Path:
        return self.root / "answers.yaml"

    def preset_names(self, folder: str) -> list[str]:
        return offers.preset_names(folder, self._own_presets(folder))

    def preset(self, folder: str, name: str) -> offers.Preset:
        """One that ships, or a user's own: workspace/models/*.yaml become entries of the model menu."""
        return offers.preset(folder, name, self._own_presets(folder))

    def _own_presets(self, folder: str) -> Path | None:
        return self.root / "models" if folder == "models" else None

    def dataset_folder(self, name: str) -> Path:
        return self.root / "dataset" / name

    def cache_folder(self, name: str) -> Path:
        return self.root / "cache" / name

    def product_folder(self, kind: str, name: str) -> Path:
        return self.dataset_folder(name) if kind == "dataset" else self.cache_folder(name)

    def products(self, kind: str) -> list[str]:
        """The names of the finished datasets or caches."""
        marks = self.root.glob(f"{kind}/*/{_PRODUCT_FILES[kind][0]}")
        return sorted(mark.parent.name for mark in marks)

    def runs(self) -> list[Run]:
        """Newest last."""
        return sorted((Run(folder, self) for folder in _job_folders(self.runs_folder)), key=_created)

    def plans(self) -> list[Plan]:
        from tfm.core.plan import Plan

        return sorted((Plan(folder, self) for folder in _job_folders(self.plans_folder)), key=_created)

    def run(self, name: str) -> Run:
        """A run by its id, or by any part of it that names only one."""
        return _only_match(name, self.runs(), self.root)

    def job(self, name: str) -> Run | Plan:
        jobs: list[Run | Plan] = [*self.runs(), *self.plans()]
        return _only_match(name, jobs, self.root)

    def locked(self) -> FileLock:
        """Held for the instant in which a job is found or made, so that two starts never make two."""
        self.make()
        return FileLock(self.root / ".lock")

    @contextlib.contextmanager
    def making(self, kind: str, name: str) -> Iterator[Path]:
        """A dataset's or cache's folder, for the one run that may write it now."""
        folder = self.product_folder(kind, name)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder.with_name(f".{name}.lock"), timeout=1):
                yield folder
        except Timeout:
            raise BusyError(
                f"another run is writing {kind} {name}", hint="wait for it, or give this one another name"
            ) from None

    def make(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(
                f"{self.root} cannot be made ({error.strerror})", hint="choose another --workspace"
            ) from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise DiskError(
                f"{self.root} cannot be written", hint="choose another --workspace, or change its permissions"
            )

    def fill_only_choice(self, settings: type[Settings], given: dict[str, Any]) -> dict[str, Any]:
        """Where one dataset or cache is needed and just one stands, it is meant; with several it is never guessed.
        Where several runs may be named and none is, all that can be read are meant."""
        filled = dict(given)
        for leaf in leaves(settings):
            if not leaf.reads or not leaf.required or given.get(leaf.name):
                continue
            if leaf.reads.kind in _PRODUCT_FILES:
                filled[leaf.name] = self._only(leaf.reads.kind)
            if leaf.reads.kind == "run" and leaf.is_list:
                filled[leaf.name] = [run.id for run in self.readable_runs(leaf)]
        return filled

    def _only(self, kind: str) -> str:
        names = self.products(kind)
        if len(names) == 1:
            return names[0]
        if names:
            raise SettingsError(
                f"there are several {kind}s: {', '.join(names)}", hint=f"say which one: --{kind} NAME", fields=(kind,)
            )
        raise SettingsError(self.missing(kind), hint=_HOW_TO_GET[kind], fields=(kind,))

    def missing(self, kind: str) -> str:
        return f"there is no {kind} in {self.root} yet"

    def readable_runs(self, leaf: Leaf) -> list[Run]:
        """The runs that a setting may name."""
        assert leaf.reads is not None
        makers = leaf.reads.made_by
        return [run for run in self.runs() if run.status.state == "done" and (not makers or run.stage in makers)]

    def check_reads(self, settings: Settings) -> None:
        """Every dataset, cache and run that is named stands: said before anything is made."""
        for leaf, reading, name in reads(settings):
            if reading.kind == "run":
                self._check_run(leaf, reading, name)
            elif reading.kind in _PRODUCT_FILES and name not in self.products(reading.kind):
                standing = ", ".join(self.products(reading.kind)) or "none yet"
                raise SettingsError(
                    f"no {reading.kind} is called {name!r} in {self.root}",
                    hint=f"there are: {standing}",
                    fields=(leaf.name,),
                )

    def _check_run(self, leaf: Leaf, reading: Reads, name: str) -> None:
        run = self.run(name)
        if reading.made_by and run.stage not in reading.made_by:
            raise SettingsError(
                f"{run.id} is a run of {run.stage}, and {' or '.join(reading.made_by)} is needed here",
                hint="see `python wizard.py runs list`",
                fields=(leaf.name,),
            )
        if run.status.state != "done":
            raise SettingsError(
                f"{run.id} is {run.status.state}: it has nothing to read yet",
                hint=f"finish it first: `python wizard.py runs resume {run.id}`",
                fields=(leaf.name,),
            )

    def identity(self, kind: str, name: str) -> str:
        """What a run's key says of something it reads: its content, so that equal content is never worked on twice."""
        if kind == "run":
            return self.run(name).status.key
        if kind == "path":
            return _tree_identity(Path(name))
        folder = self.product_folder(kind, name)
        return _digest([files.sha256(folder / file) for file in _PRODUCT_FILES[kind]])

    def key(self, stage: str, version: int, settings: Settings) -> str:
        """Equal keys mean equal work: the stage, its version, what differs from its defaults, what it reads."""
        inputs: dict[str, list[str]] = {}
        for leaf, reading, name in reads(settings):
            inputs.setdefault(leaf.name, []).append(self.identity(reading.kind, name))
        chosen = {name: value for name, value in differing(settings).items() if name not in inputs}
        return _digest([stage, version, chosen, inputs])


def reads(settings: Settings) -> Iterator[tuple[Leaf, Reads, str]]:
    """Each dataset, cache, run and path that settings name."""
    for leaf in leaves(type(settings)):
        if leaf.reads:
            value = value_at(settings, leaf)
            for name in value if isinstance(value, list | tuple) else [value]:
                if name is not None:
                    yield leaf, leaf.reads, str(name)


J = TypeVar("J", bound=Job)


def _only_match(name: str, jobs: list[J], root: Path) -> J:
    matching = [job for job in jobs if job.id == name] or [job for job in jobs if name and name in job.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise RunError(f"nothing in {root} is called {name!r}", hint="see `python wizard.py runs list`")
    raise RunError(
        f"{name!r} is part of {len(matching)} names",
        hint="give more of it: " + ", ".join(job.id for job in matching[:6]),
    )


def _created(job: Job) -> str:
    return job.status.created


def _job_folders(parent: Path) -> list[Path]:
    return [mark.parent for mark in parent.glob("[!.]*/status.json")]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def _tree_identity(path: Path) -> str:
    """Names, sizes and times of every file below: what a walk can know without reading 163 GB."""
    if path.is_file():
        return _digest([path.stat().st_size, path.stat().st_mtime_ns])
    rows = sorted(_stat_rows(path, on_error=_refuse))
    return _digest(rows)


def _stat_rows(root: Path, on_error: Callable[[OSError], None]) -> Iterator[tuple[str, int, int]]:
    for folder, _, names in os.walk(root, onerror=on_error):
        for name in names:
            file = Path(folder, name)
            try:
                facts = file.stat()
            except FileNotFoundError:  # a dangling link
                continue
            yield str(file.relative_to(root)), facts.st_size, facts.st_mtime_ns


def _refuse(error: OSError) -> None:
    raise DiskError(
        f"{error.filename} cannot be read ({error.strerror})", hint="change its permissions and start again"
    )
