"""Compare ways of training by paired differences."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.paired_differences import compare_ways
from tfm.commands.contrast import Contrast
from tfm.core import files, hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Result, Table
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def contrast(settings: Contrast, run: Run) -> Iterator[Event]:
    ways = settings.ways or settings.runs
    explained = [find_run(run.workspace, name) for name in settings.explained]
    by_trained = {str(one.read_status().result["trained"]): one for one in explained}
    runs: dict[str, list[Run]] = {}
    looks: dict[str, list[Run]] = {}
    for way, name in zip(ways, settings.runs, strict=True):
        runs.setdefault(way, []).append(find_run(run.workspace, name))
        if name in by_trained:
            looks.setdefault(way, []).append(by_trained[name])
        elif explained:
            raise SettingsError(
                f"explained: there is no explanation of {name}",
                hint=f"create it: {hints.command('explain', name)}; or name no explanations",
                fields=("explained",),
            )
    contrasted = compare_ways(runs, looks, settings.against, settings.units.unit, settings.split)
    protocol = contrasted.protocol.caption
    note = f"; {contrasted.explanation_note}" if contrasted.explanation_note else ""
    caption = (
        f"{protocol}. Each value is the mean of a way's runs. The intervals, also those of paired differences on the "
        "same patients, cover the choice of patients and, with several runs of a way, of seeds. Few runs tell little "
        f"about seeds, so the intervals of two are wide{note}"
    )
    yield Table("Contrast", contrasted.columns, contrasted.format_rows(), caption)
    if settings.against:
        yield Table("Paired differences", contrasted.difference_columns, contrasted.format_differences(), protocol)
    path = run.folder / "contrast.json"
    values = {
        "run": run.id,
        "rows": contrasted.list_values(),
        "differences": contrasted.list_differences(),
        "protocol": protocol,
    }
    files.write_json(path, values)
    yield Result(values, outputs=[str(path)])
