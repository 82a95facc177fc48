"""What a start would cost, and what is unusual about it, on the review screen."""

from __future__ import annotations

from collections.abc import Sequence

from tfm.core.events import Note
from tfm.core.runs.doubts import Doubt, find_doubts
from tfm.core.runs.estimates import add_estimates, is_measuring, read_estimates, start_probe
from tfm.core.runs.workspace import Workspace
from tfm.ui import render
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.prompts import Choice, Question
from tfm.ui.spell_references import spell

_LEAST_MB = 1


def describe_costs(workspace: Workspace, filled: FilledForm) -> str:
    """Such as "≈ 16 min · 2.0 GB memory · 90 MB disk"; with "≥" if the time of some models is not known yet. Of a start
    on a cluster, only what is written is known here."""
    estimates = list(read_estimates(workspace, filled.stage, filled.presets, filled.given).values())
    known = [one for one in estimates if one.seconds is not None]
    together = add_estimates(known or estimates)
    mark = "≥ " if len(known) < len(estimates) else "" if together.is_measured else "≈ "
    parts = [spell("measuring …")] if len(known) < len(estimates) and is_measuring() else []
    parts += [f"{mark}{render.format_time_left(together.seconds)}"] if together.seconds and filled.is_here else []
    if together.memory_gib:  # of a run that trains nothing, only a rough size is known
        parts += [f"{together.memory_gib:.1f} GB memory"] if filled.is_here else []
        parts += [f"{together.disk_mb or 0:,.0f} MB disk"]
    parts += [f"{together.download_mb:,.0f} MB download"] if together.download_mb >= _LEAST_MB else []
    return " · ".join(parts)


def measure_costs(workspace: Workspace, filled: FilledForm) -> None:
    """Measure in the background what is not known."""
    start_probe(workspace, filled.stage, filled.presets, filled.given)


def list_doubts(workspace: Workspace, filled: FilledForm) -> list[Doubt]:
    return find_doubts(workspace, filled.stage, filled.presets, filled.given, is_here=filled.is_here)


def describe_doubts(doubts: Sequence[Doubt]) -> list[Note]:
    return [Note(f"{doubt.message}; {doubt.hint}", "warning") for doubt in doubts]


def ask_whether_meant(doubts: list[Doubt]) -> Question:
    """Ask once more before something is started that can hardly be meant."""
    choices = [Choice(False, "Change something"), Choice(True, "Start it all the same")]
    return Question("sure", f"Really? {spell(doubts[0].message)}.", choices=choices, default=False)
