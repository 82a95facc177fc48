"""Whether a killed and resumed training ends the same on the machines of the models: from certificates of `doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from tfm.analysis.certificate_tables import describe_outcome, tabulate_figures, tabulate_kills
from tfm.analysis.export_table import convert_to_export
from tfm.analysis.report.parts import Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRun
from tfm.core.registry import find_command
from tfm.core.runs.certificate import Certificate
from tfm.core.runs.run import Run
from tfm.core.settings.document_command import write_document_command


def build_proof_section(certificates: Sequence[Certificate], reported: Sequence[ReportedRun]) -> Section:
    proofs: dict[int, list[str]] = {}  # the place of a certificate → the models that it is about
    unproven: dict[str, list[str]] = {}  # the reason → the models
    for one in reported:
        place, reason = find_certificate(certificates, one.run)
        (unproven.setdefault(reason, []) if place is None else proofs.setdefault(place, [])).append(one.name)
    parts: list[Part] = []
    for place, models in proofs.items():
        certificate = certificates[place]
        text = (
            f"{describe_outcome(certificate)} It was a small training of its own. On the same machine and device, with "
            f"the same versions: {', '.join(models)}."
        )
        parts += [Paragraph(text, is_warning=not certificate.is_proven), *_tabulate(certificate, place + 1)]
        parts.append(Paragraph(" ".join(certificate.limits)))
    parts += [Paragraph(f"{', '.join(models)}: {reason}") for reason, models in unproven.items()]
    return Section("proof", "Killed and resumed trainings", parts)


def find_certificate(certificates: Sequence[Certificate], run: Run) -> tuple[int | None, str]:
    """The place of the newest certificate of the machine, device and versions of a run, or why there is none."""
    facts = run.read_environment()
    if "device_name" not in facts:
        return None, "No network was trained."
    if not facts.get("deterministic", True):
        return None, "Not proven: the arithmetic was not deterministic."
    starts = [facts, *(facts | changes for changes in facts.get("resumed_with", []))]
    differing = [sorted({name for start in starts for name in one.list_other_facts(start)}) for one in certificates]
    if [] in differing:
        return differing.index([]), ""
    nearest: list[str] = min(differing, key=len, default=[])
    missing = f"the certificate is of another {' and '.join(nearest)}" if nearest else "there is no certificate"
    doctor = find_command("doctor").settings
    command = write_document_command("doctor", [], doctor.model_validate({"prove": True}), doctor())
    return None, f"Not proven on this machine: {missing}. The command {command} tries it there."


def _tabulate(certificate: Certificate, number: int) -> list[Part]:
    tables = {"kills": tabulate_kills(certificate), "pace": tabulate_figures(certificate)}
    return [
        TablePart(f"certificate-{number}-{name}", convert_to_export(table), summary=table.title)
        for name, table in tables.items()
    ]
