"""The first section: what was asked, and how it was measured."""

from __future__ import annotations

from tfm.analysis.export_table import ExportTable
from tfm.analysis.report.external_section import ExternalRanking
from tfm.analysis.report.parts import Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.analysis.threshold import describe_rule
from tfm.analysis.units import PLURALS


def build_question_section(reported: ReportedRuns, external: list[ExternalRanking], missing: list[str]) -> Section:
    """`missing` says what the report has to leave out, and why."""
    protocol = reported.ranking.protocol
    count = len(reported.ranking.entries)
    models = "How well does the model tell" if count == 1 else f"Which of {count} models tells"
    parts: list[Part] = [
        Paragraph(
            f"{models} malignant from benign {PLURALS[protocol.unit]} that it has never seen, of patients that it has "
            "never seen?"
        )
    ]
    if protocol.synthetic:
        text = "These images are synthetic phantoms. The numbers say nothing about real mammograms."
        parts.append(Paragraph(text, is_warning=True))
    parts += [Paragraph(f"Left out: {text}.", is_warning=True) for text in missing]
    facts = {
        "Dataset": f"{protocol.dataset}: {protocol.arrangement}",
        "Content of the dataset": f"SHA-256 {protocol.dataset_hash[:16]}, split {protocol.split_hash[:16]}",
        "Measured on": protocol.sample + protocol.unit_rule,
        "Threshold": f"chosen on validation ({describe_rule(protocol.threshold_rule)}), never on test",
        "Epoch and settings": "chosen on validation, never on test",
        "Patients": "No patient is in two splits, and no model has seen a patient of validation or test before.",
        "External tests": "; ".join(one.ranking.protocol.describe_test() for one in external)
        or "No model was tested on another dataset.",
        "Intervals": "95 %, over patients: the images of a patient are not independent",
    }
    caption = "The protocol of every number in this report."
    table = ExportTable(caption, ["what", "how"], [[*row] for row in facts.items()], [facts])
    return Section("question", "Question and protocol", [*parts, TablePart("protocol", table)])
