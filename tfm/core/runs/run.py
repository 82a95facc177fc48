"""A run: the folder of one execution of a command. Only this module knows the names of its files."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tfm.core import files, hints
from tfm.core.errors import DataError, RunError
from tfm.core.events import Event, StateChange, parse_record, to_record
from tfm.core.machine import SteadyClock
from tfm.core.records import Seconds, build_record
from tfm.core.runs.job_folder import Job, create_job_folder
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.serialize import format_commented_yaml

BEST_CHECKPOINT = "best.pt"  # the weights that other runs can start from


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
        head = files.format_yaml({"stage": stage, "version": version, "preset": preset})
        body = "".join("  " + line for line in format_commented_yaml(settings).splitlines(keepends=True))
        text = head + "settings:\n" + body
        name = "-".join(filter(None, [stage.rpartition(".")[2], preset]))
        environment = {"settings_sha256": hashlib.sha256(text.encode()).hexdigest()}
        documents = {"settings.yaml": text, "environment.json": json.dumps(environment)}
        return cls(create_job_folder(workspace.runs_folder, name, documents, key, part_of), workspace)

    def read_head(self) -> tuple[str, str | None]:
        """The command and the preset, from the lines above the settings: a tenth of the time."""
        try:
            head = self._read_file(end="\nsettings:")
        except RunError:  # a person has sorted the file
            head = self._read_file()
        return str(head["stage"]), head.get("preset")

    def _read_file(self, end: str = "\n...\n") -> dict[str, Any]:
        """The content of the settings file up to this text, by default the end of a YAML document."""
        try:
            found = self.settings_file.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            content = copy.deepcopy(_parse_settings(self.settings_file, end, stamp))
        except (OSError, ValueError):
            content = None
        if (
            not isinstance(content, dict)
            or "stage" not in content
            or not isinstance(content.get("settings") or {}, dict)
        ):
            raise RunError(
                f"{self.settings_file} is damaged or missing",
                hint=self._describe_repair(),
            )
        return content

    def read_stage(self) -> str:
        return self.read_head()[0]

    def read_preset(self) -> str | None:
        return self.read_head()[1]

    def read_settings(self) -> dict[str, Any]:
        return self._read_file().get("settings") or {}

    def read_word(self, name: str) -> str | None:
        """The value of a setting in no group whose value is one word, such as a dataset: hundreds are read at once."""
        try:
            text = files.read_text(self.settings_file)
        except (OSError, ValueError):
            return None
        found = re.search(rf"^  {name}: (?!null$)([\w.-]+)$", text.partition("\nsettings:")[2], re.MULTILINE)
        return found[1] if found else None

    def has_original_settings(self) -> bool:
        """Whether its settings file is as it was created."""
        current = files.compute_sha256(self.settings_file)
        return bool(self.read_environment().get("settings_sha256", current) == current)

    def _describe_repair(self) -> str:
        return f"restore the file, or remove the run: {hints.command('runs remove', self.id)}"

    def describe_restart(self) -> str:
        """Refer to the command that does the same in a new run; a trial is only repeated with its study."""
        return hints.command("runs restart", self.read_status().part_of or self.id)

    def read_environment(self) -> dict[str, Any]:
        """The facts of a run. Reading one that is missing raises an error that names the file."""
        file = self.folder / "environment.json"
        try:
            content = files.read_json(file)
        except FileNotFoundError:
            content = {}
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{file} is damaged", hint=self._describe_repair())
        return _NamedFacts(content, file, self._describe_repair())

    def save_facts(self, **facts: Any) -> None:
        """Save facts about this run (versions, device, threads, patients seen) for a resume and for readers."""
        files.write_json(self.folder / "environment.json", self.read_environment() | facts)

    def save_start_facts(self, **facts: Any) -> None:
        """Save the facts of the first start; what differs at a resume is saved in addition."""
        known = self.read_environment()
        others = {name: value for name, value in facts.items() if known.get(name, value) != value}
        resumed = {"resumed_with": [*known.get("resumed_with", []), others]} if others else {}
        self.save_facts(**facts | known | resumed)

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def checkpoints_folder(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best_checkpoint(self) -> Path:
        return self.checkpoints_folder / BEST_CHECKPOINT

    @property
    def figures_folder(self) -> Path:
        return self.folder / "figures"

    @property
    def study_file(self) -> Path:
        return self.folder / "study.db"

    @property
    def scores_file(self) -> Path:
        return self.folder / "looks.csv"

    def predictions_file(self, split: str) -> Path:
        return self.folder / "predictions" / f"{split}.csv"

    @property
    def events_file(self) -> Path:
        return self.folder / "events.jsonl"

    @contextlib.contextmanager
    def open_event_log(self) -> Iterator[None]:
        """Open the log for `record`, after cutting off a line that a killed worker left unfinished."""
        with open(self.events_file, "a+b") as raw:
            raw.seek(0)
            raw.truncate(raw.read().rfind(b"\n") + 1)
        self._clock = SteadyClock()
        with open(self.events_file, "a", encoding="utf-8") as self._log:
            yield
        self._log = None

    def record(self, event: Event) -> None:
        assert self._log is not None, "record() needs open_event_log()"
        self._log.write(json.dumps(to_record(event, self._clock.read()), ensure_ascii=False) + "\n")
        self._log.flush()
        if isinstance(event, StateChange):  # a power cut must not leave a run that is done without its tables
            os.fsync(self._log.fileno())

    def read_events_from(self, offset: int) -> tuple[list[tuple[float, Event]], int]:
        """The complete events after a byte offset, with their times, and the offset after them."""
        lines = self.read_event_lines(offset)
        return [*filter(None, map(parse_line, lines))], offset + sum(map(len, lines))

    def read_event_lines(self, offset: int = 0) -> list[bytes]:
        """The complete lines of the log after a byte offset, unparsed: a long training has tens of thousands."""
        try:
            with open(self.events_file, "rb") as file:
                file.seek(offset)
                block = file.read()
        except FileNotFoundError:
            return []
        return block[: block.rfind(b"\n") + 1].splitlines(keepends=True)

    def read_log_end(self, size: int) -> bytes:
        """The last bytes of the log; the first and the last line may be incomplete."""
        try:
            with open(self.events_file, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - size))
                return file.read()
        except FileNotFoundError:
            return b""

    def read_events(self) -> list[Event]:
        return [event for _, event in self.read_events_from(0)[0]]

    def describe_outputs(self, paths: list[str]) -> list[dict[str, Any]]:
        root = self.workspace.root
        return [
            {
                "path": str(path.relative_to(root) if path.is_relative_to(root) else path),
                "size": path.stat().st_size,
                "sha256": files.compute_sha256(path),
            }
            for path in map(Path, paths)
        ]

    def has_intact_outputs(self) -> bool:
        """Whether every output file still exists, byte for byte."""
        return all(
            (path := self.workspace.root / output["path"]).is_file()
            and path.stat().st_size == output["size"]
            and files.compute_sha256(path) == output["sha256"]
            for output in self.read_status().outputs
        )

    def check_outputs(self) -> None:
        """Check the outputs before another run reads them."""
        if not self.has_intact_outputs():
            raise DataError(
                f"the outputs of {self.id} are missing or changed", hint=f"repeat it: {self.describe_restart()}"
            )


@functools.lru_cache(maxsize=2048)
def _parse_settings(file: Path, end: str, _stamp: tuple[int, ...]) -> Any:
    """The content of the file up to this text, parsed once for each state of it: a comparison asks many times."""
    return files.parse_yaml(files.read_text(file).partition(end)[0])


class _NamedFacts(dict[str, Any]):
    """Facts that know the file that they are from."""

    def __init__(self, facts: dict[str, Any], file: Path, repair: str) -> None:
        super().__init__(facts)
        self._file, self._repair = file, repair

    def __missing__(self, name: str) -> Any:
        raise RunError(f"{self._file} does not say {name.replace('_', ' ')}", hint=self._repair)


def parse_line(line: bytes) -> tuple[float, Event] | None:
    """A damaged line is skipped: it must not hide the others."""
    try:
        record = json.loads(line)
        return build_record(Seconds, record["time"]), parse_record(record)
    except (ValueError, KeyError, TypeError):
        return None
