r"""numbers.tex: a LaTeX macro for each number, such as \AucResNetCFT, so that a text never disagrees with its table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tfm.analysis.describe_comparison import describe_outcome
from tfm.analysis.format_intervals import format_interval, format_number
from tfm.analysis.report.patient_flow import PatientFlow
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.core.escape_text import escape_latex
from tfm.metrics.intervals import Interval

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_UNKNOWN = "–"


def name_macros(names: Iterable[str]) -> dict[str, str]:
    """Map each name to letters that no other name has: without digits if that is unique, else with digits spelled."""
    names = list(dict.fromkeys(names))
    short = {name: _keep_letters(re.sub(r"\d", "", name)) for name in names}
    spelled = {name: _keep_letters(re.sub(r"\d", lambda found: _DIGITS[int(found[0])], name)) for name in names}
    shared = Counter(short.values())
    found: dict[str, str] = {}
    for name in names:
        letters = short[name] if shared[short[name]] == 1 and short[name] else spelled[name]
        while not letters or letters in found.values():
            letters += "X"
        found[name] = letters
    return found


def _keep_letters(text: str) -> str:
    words = re.split(r"[^A-Za-z]+", text)
    return "".join(word[:1].upper() + word[1:] for word in words)


def collect_numbers(reported: ReportedRuns, flow: PatientFlow | None) -> dict[str, str]:
    """Map the name of each macro to its text."""
    protocol = reported.ranking.protocol
    best_name, best = reported.ranking.entries[0]
    numbers = {
        "ModelCount": str(len(reported.ranking.entries)),
        "BestModel": best_name,
        "BestAuc": format_number(best.auc.value),
        "BestAucInterval": format_interval(best.auc),
        "Outcome": describe_outcome(reported.ranking),
        "TestUnits": str(protocol.units),
        "TestMalignant": str(protocol.malignant),
        "TestBenign": str(protocol.units - protocol.malignant),
        "TestImages": str(protocol.images),
        "TestPatients": str(protocol.patients),
    }
    if flow:
        numbers |= {
            "NamedPatients": str(flow.named.patients),
            "NamedImages": str(flow.named.images),
            "DatasetPatients": str(flow.kept.patients),
            "DatasetImages": str(flow.kept.images),
        }
        for split, title in (("train", "Training"), ("val", "Validation")):
            numbers[f"{title}Patients"] = str(flow.splits[split].patients)
            numbers[f"{title}Images"] = str(flow.splits[split].images)
            numbers |= {f"{title}{label.title()}": str(count) for label, count in flow.labels[split].items()}
    metrics: dict[str, Mapping[str, Interval]] = {one.name: one.test.metrics for one in reported.runs}
    metrics |= {name: {"auc": entry.auc} for name, entry in reported.ranking.entries if len(entry.models) > 1}
    letters = name_macros(metrics)
    for name, intervals in metrics.items():
        for metric, interval in intervals.items():
            numbers |= _format_macros(name_macros([metric])[metric], letters[name], interval)
    return numbers


def _format_macros(metric: str, model: str, interval: Interval) -> dict[str, str]:
    ends = f" ({format_number(interval.low)}–{format_number(interval.high)})" if math.isfinite(interval.value) else ""
    return {
        f"{metric}{model}": format_number(interval.value),
        f"{metric}Low{model}": format_number(interval.low),
        f"{metric}High{model}": format_number(interval.high),
        f"{metric}Interval{model}": format_number(interval.value) + ends,
    }


def format_macros(numbers: Mapping[str, str]) -> str:
    lines = [rf"\newcommand{{\{name}}}{{{escape_latex(text)}}}" for name, text in numbers.items()]
    return "% Numbers of the report. Write them as \\BestAuc{}: the braces keep the space after them.\n" + "\n".join(
        [*lines, ""]
    )
