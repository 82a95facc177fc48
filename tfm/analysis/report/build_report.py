"""The sections of a report, from opened runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfm.analysis.report.comparison_sections import build_comparison_section
from tfm.analysis.report.data_sections import build_audit_section, build_patients_section
from tfm.analysis.report.evidence_sections import build_explanations_section, build_studies_section
from tfm.analysis.report.external_section import build_external_section, rank_externally
from tfm.analysis.report.opened_dataset import OpenedDataset, open_dataset
from tfm.analysis.report.parts import Section
from tfm.analysis.report.patient_flow import PatientFlow, count_patients
from tfm.analysis.report.preprocessing_section import build_preprocessing_section, read_chains
from tfm.analysis.report.proof_section import build_proof_section
from tfm.analysis.report.question_section import build_question_section
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.analysis.report.reproduction_sections import build_environment_section, build_repeat_section
from tfm.analysis.report.run_sections import build_runs_section
from tfm.analysis.thesis.study_facts import StudyFacts, collect_facts
from tfm.core.runs.certificate import read_certificates
from tfm.core.runs.repeat_runs import list_repeating_commands
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace


@dataclass(frozen=True)
class Report:
    sections: list[Section]
    missing: list[str]  # what had to be left out, and why
    facts: StudyFacts


def build_report(
    workspace: Workspace, reported: ReportedRuns, explanations: Sequence[Run], studies: Sequence[Run]
) -> Report:
    data = open_dataset(workspace, reported.ranking.protocol)
    flow, missing = _count_flow(data)
    chains, missing_chains = read_chains(workspace, reported)
    preprocessing, missing_pictures = build_preprocessing_section(data, chains)
    external, missing_tests = rank_externally(reported)
    missing += missing_chains + missing_pictures + missing_tests
    runs = [one.run for one in reported.runs]
    explained = build_explanations_section(explanations, reported.runs)
    about_data: list[Section] = []
    if isinstance(data, OpenedDataset):
        about_data = [build_patients_section(data, flow), build_audit_section(data)]
    sections = [
        build_question_section(reported, external, missing),
        *about_data,
        preprocessing,
        build_comparison_section(reported),
        build_external_section(external, reported),
        build_runs_section(reported.runs),
        explained,
        build_studies_section(studies),
        build_environment_section(reported.runs),
        build_proof_section(read_certificates(workspace), reported.runs),
        build_repeat_section(list_repeating_commands(workspace, runs)),
    ]
    facts = collect_facts(
        reported, external, data, flow, chains, has_explanations=bool(explained.sections), has_studies=bool(studies)
    )
    return Report(sections, missing, facts)


def _count_flow(data: OpenedDataset | str) -> tuple[PatientFlow | None, list[str]]:
    """Return the flow of patients if it is known, and what had to be left out."""
    if not isinstance(data, OpenedDataset):
        return None, [f"patients, audit and pictures of the preprocessing: {data}"]
    if not data.has_lesion_table:
        return None, ["the flow diagram of patients: the dataset does not say which images were left out"]
    return count_patients(data.dataset), []
