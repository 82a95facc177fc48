"""A run: one stage at work, as a folder. The only code that knows a run's file names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import yaml

from tfm.core import files, hints
from tfm.core.errors import DataError, RunError
from tfm.core.events import Event, parse_record, to_record
from tfm.core.runs.job import Job, create_job_folder
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.schema import Settings
from tfm.core.settings.serialize import format_commented_yaml


class Run(Job):
    def __init__(self, folder: Path, workspace: Workspace) -> None:
        super().__init__(folder)
        self.workspace = workspace
        self._log: TextIO | None = None

    @classmethod
    def create(
        cls,
        workspace: Workspace,
        stage: str,
        version: int,
        settings: Settings,
        preset: str | None,
        key: str,
        part_of: str = "",
    ) -> Run:
        head = yaml.safe_dump({"stage": stage, "version": version, "preset": preset}, sort_keys=False)
        body = "".join("  " + line for line in format_commented_yaml(settings).splitlines(keepends=True))
        text = head + "settings:\n" + body
        name = "-".join(filter(None, [stage.rpartition(".")[2], preset]))
        written = {"settings_sha256": hashlib.sha256(text.encode()).hexdigest()}
        documents = {"settings.yaml": text, "environment.json": json.dumps(written)}
        return cls(create_job_folder(workspace.runs_folder, name, documents, key, part_of), workspace)

    def _read_head(self) -> dict[str, Any]:
        try:
            head = files.read_yaml(self.settings_file)
        except (OSError, ValueError, yaml.YAMLError):
            head = None
        if not isinstance(head, dict) or "stage" not in head:
            raise RunError(
                f"{self.settings_file} is damaged or gone",
                hint=f"restore that file, or remove the run: {hints.command('runs remove', self.id)}",
            )
        return head

    def describe_restart(self) -> str:
        """How to do the same in a new run: one that is part of another is made by that alone."""
        return hints.command("runs restart", self.read_status().part_of or self.id)

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    def has_original_settings(self) -> bool:
        """Whether its settings are still written as they were when it was made."""
        stands = files.compute_sha256(self.settings_file)
        return bool(self.read_environment().get("settings_sha256", stands) == stands)

    def read_stage(self) -> str:
        return str(self._read_head()["stage"])

    def is_done_by(self, makers: tuple[str, ...]) -> bool:
        """Whether it is a done run of one of these stages; of any, where none is named."""
        try:
            return self.read_status().state == "done" and (not makers or self.read_stage() in makers)
        except RunError:  # its settings are damaged: nobody should read from it
            return False

    def read_preset(self) -> str | None:
        return self._read_head().get("preset")

    def read_settings(self) -> dict[str, Any]:
        return self._read_head().get("settings") or {}

    def read_environment(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            return dict(files.read_json(self.folder / "environment.json"))
        return {}

    def save_facts(self, **facts: Any) -> None:
        """Facts resolved at the start (versions, device, threads, patients seen), kept for resuming and for readers."""
        files.write_json(self.folder / "environment.json", self.read_environment() | facts)

    def save_start_facts(self, **facts: Any) -> None:
        """Those of the first start stay; where a resume finds others, these are kept beside them."""
        known = self.read_environment()
        others = {name: value for name, value in facts.items() if known.get(name, value) != value}
        resumed = {"resumed_with": [*known.get("resumed_with", []), others]} if others else {}
        self.save_facts(**facts | known | resumed)

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def checkpoints_folder(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def figures_folder(self) -> Path:
        return self.folder / "figures"

    @property
    def study_file(self) -> Path:
        return self.folder / "study.db"

    @property
    def looks_file(self) -> Path:
        return self.folder / "looks.csv"

    def predictions_file(self, split: str) -> Path:
        return self.folder / "predictions" / f"{split}.csv"

    @property
    def _events_file(self) -> Path:
        return self.folder / "events.jsonl"

    @contextlib.contextmanager
    def open_event_log(self) -> Iterator[None]:
        """The event log, open to append; a line a killed worker left unfinished is cut off first."""
        with open(self._events_file, "a+b") as raw:
            _cut_unfinished_line(raw)
        with open(self._events_file, "a", encoding="utf-8") as self._log:
            yield
        self._log = None

    def record(self, event: Event) -> None:
        assert self._log is not None, "record() needs recording()"
        self._log.write(json.dumps(to_record(event, time.time()), ensure_ascii=False) + "\n")
        self._log.flush()

    def read_events_from(self, offset: int) -> tuple[list[tuple[float, Event]], int]:
        """The whole lines that stand behind a byte offset, with their times, and the offset after them."""
        try:
            with open(self._events_file, "rb") as file:
                file.seek(offset)
                block = file.read()
        except FileNotFoundError:
            return [], offset
        whole = block[: block.rfind(b"\n") + 1]
        return [*filter(None, map(_read_line, whole.splitlines()))], offset + len(whole)

    def read_events(self) -> list[Event]:
        return [event for _, event in self.read_events_from(0)[0]]

    def describe_outputs(self, paths: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "path": str(self._in_workspace(Path(path))),
                "size": Path(path).stat().st_size,
                "sha256": files.compute_sha256(Path(path)),
            }
            for path in paths
        ]

    def _in_workspace(self, path: Path) -> Path:
        root = self.workspace.root
        return path.relative_to(root) if path.is_relative_to(root) else path

    def has_intact_outputs(self) -> bool:
        """Whether every file the run left behind is still there, byte for byte."""
        for output in self.read_status().outputs:
            path = self.workspace.root / output["path"]
            if (
                not path.is_file()
                or path.stat().st_size != output["size"]
                or files.compute_sha256(path) != output["sha256"]
            ):
                return False
        return True

    def check_outputs(self) -> None:
        """Before another run takes them up."""
        if not self.has_intact_outputs():
            raise DataError(
                f"what {self.id} left behind is no longer there as it was written",
                hint=f"do the same anew: {self.describe_restart()}",
            )


def _read_line(line: bytes) -> tuple[float, Event] | None:
    """A damaged line tells nothing, and keeps nobody from the others."""
    try:
        record = json.loads(line)
        return record["time"], parse_record(record)
    except (ValueError, KeyError, TypeError):
        return None


def _cut_unfinished_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    whole = file.read().rfind(b"\n") + 1
    if whole < end:
        file.truncate(whole)
