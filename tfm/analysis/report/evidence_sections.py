"""Sections about other runs that belong to the models: explanations and studies. They show what those runs recorded."""

from __future__ import annotations

from collections.abc import Sequence

from tfm.analysis.export_table import convert_to_export
from tfm.analysis.report.parts import Paragraph, Part, PicturePart, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRun
from tfm.core.events import Picture, Table
from tfm.core.runs.run import Run


def build_explanations_section(explanations: Sequence[Run], reported: Sequence[ReportedRun]) -> Section:
    """Show the explanations of the reported runs; those of other runs are left out."""
    names = {one.run.id: one.name for one in reported}
    sections = [
        Section(f"explanation-{run.id}", f"Where {names[trained]} looks", copy_recorded_parts(run))
        for run in explanations
        for trained in [str(run.read_status().result.get("trained", ""))]
        if trained in names
    ]
    parts: list[Part] = [] if sections else [Paragraph("None of these runs was explained.")]
    return Section("explanations", "Explanations", parts, sections)


def build_studies_section(studies: Sequence[Run]) -> Section:
    sections = [Section(f"study-{run.id}", f"Study {run.id}", copy_recorded_parts(run)) for run in studies]
    parts: list[Part] = [] if sections else [Paragraph("No setting of these runs was chosen by a study.")]
    return Section("studies", "Studies", parts, sections)


def copy_recorded_parts(run: Run) -> list[Part]:
    """The tables and pictures that a run showed at its end, after a check that they are unchanged."""
    run.check_outputs()
    outputs = {run.workspace.root / output["path"] for output in run.read_status().outputs}
    parts: dict[str, Part] = {}
    for event in run.read_events():
        number = len(parts) + 1
        if isinstance(event, Table):
            parts[event.title] = TablePart(f"{run.id}-{number}", convert_to_export(event))
        elif isinstance(event, Picture):
            file = run.workspace.root / event.path
            if file in outputs:
                parts[event.title + event.path] = PicturePart(
                    f"{run.id}-{file.stem}", file, f"{event.title}, drawn by the run {run.id}", event.title
                )
    return list(parts.values())
