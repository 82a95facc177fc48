"""The sections of a report, from opened runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfm.analysis.report.comparison_sections import build_comparison_section
from tfm.analysis.report.data_sections import build_audit_section, build_patients_section
from tfm.analysis.report.evidence_sections import build_explanations_section, build_studies_section
from tfm.analysis.report.opened_dataset import OpenedDataset, open_dataset
from tfm.analysis.report.parts import Section
from tfm.analysis.report.preprocessing_section import build_preprocessing_section
from tfm.analysis.report.question_section import build_question_section
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.analysis.report.reproduction_sections import build_environment_section, build_repeat_section
from tfm.analysis.report.run_sections import build_runs_section
from tfm.core.runs.repeat_runs import list_repeating_commands
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace


@dataclass(frozen=True)
class Report:
    sections: list[Section]
    missing: list[str]  # what had to be left out, and why


def build_report(
    workspace: Workspace, reported: ReportedRuns, explanations: Sequence[Run], studies: Sequence[Run]
) -> Report:
    missing: list[str] = []
    data = open_dataset(workspace, reported.ranking.protocol)
    about_data: list[Section] = []
    if isinstance(data, OpenedDataset):
        about_data = [build_patients_section(data), build_audit_section(data)]
        if not data.has_lesion_table:
            missing.append("the flow diagram of patients: the dataset does not say which images were left out")
    else:
        missing.append(f"patients, audit and pictures of the preprocessing: {data}")
    preprocessing, problem = build_preprocessing_section(workspace, data, reported)
    missing += [problem] if problem else []
    runs = [one.run for one in reported.runs]
    sections = [
        build_question_section(reported, missing),
        *about_data,
        preprocessing,
        build_comparison_section(reported),
        build_runs_section(reported.runs),
        build_explanations_section(explanations, reported.runs),
        build_studies_section(studies),
        build_environment_section(reported.runs),
        build_repeat_section(list_repeating_commands(workspace, runs)),
    ]
    return Report(sections, missing)
