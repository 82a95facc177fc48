"""Write a report on trained models."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tfm.analysis.comparison_tables import SCREEN_COLUMNS, format_screen_rows
from tfm.analysis.nearly_equal_probabilities import warn_of_nearly_equal_probabilities
from tfm.analysis.report.build_report import build_report
from tfm.analysis.report.parts import iterate_parts
from tfm.analysis.report.reported_runs import open_reported_runs
from tfm.analysis.report.write_page import write_page
from tfm.analysis.thesis.number_macros import collect_numbers
from tfm.analysis.thesis.write_pack import write_thesis_pack
from tfm.commands.report import Report
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def report(settings: Report, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    runs, explanations, studies = (
        [find_run(run.workspace, name) for name in names]
        for names in (settings.runs, settings.explanations, settings.studies)
    )
    yield Progress("reading the predictions and testing the differences", 0, 1)
    reported = open_reported_runs(runs, settings.units.unit)
    yield from warn_of_nearly_equal_probabilities([one.model for one in reported.runs])
    ranking = reported.ranking
    yield Table("Comparison", SCREEN_COLUMNS, format_screen_rows(ranking), ranking.caption)
    yield Progress("writing the page", 0, 1)
    built = build_report(run.workspace, reported, explanations, studies)
    for text in built.missing:
        yield Note(f"left out: {text}", "warning")
    page = run.folder / "report" / "report.html"
    count = len(reported.runs)
    lead = f"{count} run{'s' * (count > 1)} of the dataset {ranking.protocol.dataset} ({ranking.protocol.sample})."
    footer = f"Written by the run {run.id} from the predictions that the runs stored."
    title = (
        f"Comparison of {count} runs on {ranking.protocol.dataset}"
        if count > 1
        else f"Report on {reported.runs[0].name}"
    )
    write_page(page, title, lead, footer, built.sections)
    outputs, summary = [page], f"The report is written. Open it in a browser:\n{page}"
    if settings.thesis:
        numbers = collect_numbers(reported, built.facts.flow)
        parts = iterate_parts(built.sections)
        outputs += write_thesis_pack(page.parent / "thesis", title, built.facts, numbers, parts)
        document = shlex.quote(str(page.parent / "thesis" / "main.tex"))
        summary += f"\nCompile the thesis pack:\nlatexmk -cd -pdf {document}"
    yield Result(
        {"run": run.id, "report": str(page), "missing": built.missing},
        [str(path) for path in outputs],
        summary,
    )
