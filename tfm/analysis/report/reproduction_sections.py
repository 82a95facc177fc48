"""The last sections: where the models were trained, and how to make them again."""

from __future__ import annotations

from collections.abc import Sequence

from tfm.analysis.export_table import ExportTable
from tfm.analysis.report.parts import CodePart, Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRun
from tfm.core.runs.repeat_runs import RepeatedRun

_FACTS = {
    "device_name": "device",
    "python": "Python",
    "torch": "PyTorch",
    "system": "system",
    "git_commit": "version of the program",
    "deterministic": "deterministic",
    "batch_size": "batch size",
}


def build_environment_section(runs: Sequence[ReportedRun]) -> Section:
    found = [(one, one.run.read_environment()) for one in runs]
    names = [name for name in _FACTS if any(name in facts for _, facts in found)]
    rows = [[one.name, *(_format_fact(name, facts.get(name)) for name in names)] for one, facts in found]
    records = [{"run": one.run.id, **{name: facts.get(name) for name in names}} for one, facts in found]
    table = ExportTable("Where each run was trained.", ["model", *(_FACTS[name] for name in names)], rows, records)
    return Section(
        "environment", "Environment", [TablePart("environment", table, {one.name: one.run.id for one in runs})]
    )


def _format_fact(name: str, value: object) -> str:
    if value is None:
        return "–"
    return str(value)[:12] if name == "git_commit" else {"True": "yes", "False": "no"}.get(str(value), str(value))


def build_repeat_section(commands: Sequence[RepeatedRun]) -> Section:
    parts: list[Part] = [
        Paragraph(
            "These commands make the models again in this order, in the folder of the program and in an empty "
            "workspace. Names of runs in them are those of this workspace. External tests, explanations, certificates "
            "and this report have commands of their own."
        ),
        CodePart("\n".join(one.command for one in commands if one.command)),
    ]
    lost = [one.run for one in commands if not one.command]
    if lost:
        parts.append(Paragraph(f"The presets of {', '.join(lost)} are gone, so their commands are unknown.", True))
    return Section("repeat", "Commands that repeat it", parts)
