"""The commands that repeat runs, with all that they read: for documents that leave the program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.core.runs.inputs import list_inputs
from tfm.core.runs.job_folder import Status
from tfm.core.runs.lookup import read_runs
from tfm.core.runs.resolve_command_settings import find_preset, load_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Input, Settings
from tfm.core.settings.document_command import write_document_command
from tfm.core.settings.fields import get_value, list_fields
from tfm.core.settings.resolve import resolve
from tfm.core.settings.spell_settings import assign_preset


@dataclass(frozen=True)
class RepeatedRun:
    run: str
    command: str  # or "" if its preset is gone


def list_repeating_commands(workspace: Workspace, runs: Iterable[Run]) -> list[RepeatedRun]:
    """List the commands of these runs and of the runs that made what they read, in the order of their creation."""
    everything = read_runs(workspace)
    needed: dict[str, Run] = {}
    waiting = list(runs)
    while waiting:
        run = waiting.pop()
        if run.id not in needed:
            needed[run.id] = run
            waiting += _find_sources(load_settings(run), everything)
    return [RepeatedRun(run.id, write_repeating_command(run)) for run, _ in everything if run.id in needed]


def _find_sources(settings: Settings, everything: list[tuple[Run, Status]]) -> list[Run]:
    """The newest run that made each input."""
    found = []
    for _, needed, name in list_inputs(settings):
        made = [run for run, status in everything if status.state == "done" and _has_made(run, status, needed, name)]
        found += made[-1:]
    return found


def _has_made(run: Run, status: Status, needed: Input, name: str) -> bool:
    if needed.kind == "run":
        return run.id == name
    makers = {"dataset": "organize", "cache": "preprocess"}
    return run.read_stage() == makers.get(needed.kind) and status.result.get(needed.kind) == name


def write_repeating_command(run: Run) -> str:
    """Write the command that repeats a run, or "" if its preset is gone."""
    settings = load_settings(run)
    stage = registry.find_stage(run.read_stage())
    fields = list_fields(type(settings))
    required = {field.name: get_value(settings, field) for field in fields if field.is_required and not field.parts}
    try:
        preset = find_preset(run.workspace, stage.name, run.read_preset())
        base = resolve(stage.settings, preset.settings if preset else {}, required)
    except TFMError:
        return ""
    words = assign_preset(preset.name if preset else None, stage.default_preset)
    return write_document_command(stage.name, words, settings, base)
