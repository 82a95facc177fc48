"""List the files that `organize` reads. Called before a run starts, so nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from tfm.commands.organize import Organize
from tfm.core.runs.workspace import Workspace
from tfm.data.download import find_files


def list_extra_inputs(settings: Organize, _workspace: Workspace) -> list[Path]:
    return find_files.find_implicit_inputs(settings.download, settings.csv)
