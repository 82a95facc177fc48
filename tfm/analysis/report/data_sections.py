"""The sections about the data: the patients, the audit, and the preprocessing."""

from __future__ import annotations

from typing import Any

from tfm.analysis.export_table import ExportTable
from tfm.analysis.figures.patient_flow import describe_flow, draw_patient_flow
from tfm.analysis.report.characteristics import tabulate_characteristics
from tfm.analysis.report.opened_dataset import OpenedDataset
from tfm.analysis.report.parts import FigurePart, Paragraph, Part, Section, TablePart
from tfm.analysis.report.patient_flow import PatientFlow
from tfm.data.dataset.audit import PART_COLUMN, count_findings, label_column


def build_patients_section(data: OpenedDataset, flow: PatientFlow | None) -> Section:
    parts: list[Part] = []
    if flow:
        caption = (
            f"Patients and images of the dataset {data.name}: named by the case files, left out, and in each split."
        )
        parts.append(FigurePart("patient-flow", draw_patient_flow(flow), describe_flow(flow), caption))
    parts.append(TablePart("characteristics", tabulate_characteristics(data.dataset.manifest)))
    return Section("patients", "Patients", parts)


def build_audit_section(data: OpenedDataset) -> Section:
    audit = data.audit
    parts: list[Part] = [
        Paragraph(f"Protocol of the dataset: {audit['protocol']}. Split hash: {data.split_hash[:16]}.")
    ]
    if "proofs" in audit:
        parts.append(TablePart("audit-invariants", _tabulate_invariants(audit["proofs"])))
    if "download" in audit:
        parts.append(TablePart("audit-download", _tabulate_download(audit["download"])))
    findings = count_findings(audit) if "findings" in audit else []
    if findings:
        rows = [[kind, f"{count:,}"] for kind, count in findings]
        records = [{"finding": kind, "count": count} for kind, count in findings]
        table = ExportTable(
            "What the audit noticed in the download. Each case is in audit.md.", ["finding", "cases"], rows, records
        )
        parts.append(TablePart("audit-findings", table))
    return Section("audit", "Audit of the data", parts)


def _tabulate_invariants(proofs: list[dict[str, Any]]) -> ExportTable:
    rows = [[one["claim"], f"{one['checked']:,}", "holds" if one["holds"] else "violated"] for one in proofs]
    return ExportTable("Checked before anything was written.", ["claim", "checked", "result"], rows, proofs)


def _tabulate_download(counts: dict[str, dict[str, int]]) -> ExportTable:
    columns = list(next(iter(counts.values())))
    rows = [[name, *(f"{row[column]:,}" for column in columns)] for name, row in counts.items()]
    records = [{"csv": name, **row} for name, row in counts.items()]
    return ExportTable(
        "What the tables of the collection name, and what the download has.",
        [PART_COLUMN, *map(label_column, columns)],
        rows,
        records,
    )
