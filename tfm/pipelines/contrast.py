"""Compare ways of training by paired differences."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.contrast import compare_ways
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
        if by_trained:
            looks.setdefault(way, []).append(_get_explanation(by_trained, name))
    found = compare_ways(runs, looks, settings.against)
    by = f"; {found.explanation_note}" if found.explanation_note else ""
    caption = (
        f"{found.protocol.caption}. Each value is the mean of a way's runs. The intervals, also those of paired "
        f"differences on the same patients, cover the choice of patients but not of seeds{by}"
    )
    yield Table("Contrast", found.columns, found.format_rows(), caption)
    if settings.against:
        yield Table("Paired differences", found.difference_columns, found.format_differences(), found.protocol.caption)
    path = run.folder / "contrast.json"
    values = {
        "run": run.id,
        "rows": found.list_values(),
        "differences": found.list_differences(),
        "protocol": found.protocol.caption,
    }
    files.write_json(path, values)
    yield Result(values, outputs=[str(path)])


def _get_explanation(by_trained: dict[str, Run], name: str) -> Run:
    if name not in by_trained:
        raise SettingsError(
            f"explained: there is no explanation of {name}",
            hint=f"create it: {hints.command('explain', name)}; or name no explanations",
            fields=("explained",),
        )
    return by_trained[name]
