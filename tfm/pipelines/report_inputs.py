"""List the files that a report reads. Called before a run starts, so nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from tfm.commands.report import Report
from tfm.core.runs.certificate import list_certificate_files
from tfm.core.runs.workspace import Workspace


def list_extra_inputs(settings: Report, workspace: Workspace) -> list[Path]:
    """A report that was written before a new certificate or external test is written again."""
    external = [file for run in settings.runs for file in workspace.external_folder.joinpath(run).glob("*.csv")]
    return [*list_certificate_files(workspace), *sorted(external)]
