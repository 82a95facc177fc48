"""Contrast ways to train, woman by woman

The mean of each way's runs, and paired differences between ways: what an experiment ends with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Result, Table
from tfm.core.registry import stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.schema import POSITIONAL, Input, RunWithPredictions, Settings

Explanation = Annotated[str, Input("run", made_by=("explain",))]


class Contrast(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models to contrast
    None named: every finished one of the workspace."""
    ways: list[str] = []  # noqa: RUF012
    """What each of them stands for, in the same order, with commas between
    Runs of the same name, as those of several seeds, are one way. None named: each is one by itself."""
    against: dict[str, list[str]] = {}  # noqa: RUF012
    """Which way is compared with which, as in {MIM: [none]}
    Woman by woman: the difference is above zero where the first of the two is higher."""
    explained: list[Explanation] = []  # noqa: RUF012
    """The explanations of these runs, in any order
    With them, how much the networks look outside the breast is contrasted too. None named: it is not."""

    @model_validator(mode="after")
    def _each_run_stands_for_one_way(self) -> Self:
        ways = self.ways or self.runs
        if len(ways) != len(self.runs):
            raise SettingsError(
                f"ways: there are {len(ways)} for {len(self.runs)} run{'s' * (len(self.runs) > 1)}",
                hint="name one for each run, in the same order",
                fields=("ways",),
            )
        named = self.against.keys() | set(itertools.chain(*self.against.values()))
        unknown = named - set(ways)
        if unknown:
            raise SettingsError(
                f"against: no run stands for {', '.join(sorted(unknown))}",
                hint=f"the ways are: {', '.join(dict.fromkeys(ways))}",
                fields=("against",),
            )
        return self


@stage(version=2)
def contrast(settings: Contrast, run: Run) -> Iterator[Event]:
    from tfm.analysis.contrast import compare_ways as contrasted
    from tfm.core import files

    ways = settings.ways or settings.runs
    explained = [find_run(run.workspace, name) for name in settings.explained]
    of = {str(one.read_status().result["trained"]): one for one in explained}
    runs: dict[str, list[Run]] = {}
    looks: dict[str, list[Run]] = {}
    for way, name in zip(ways, settings.runs, strict=True):
        runs.setdefault(way, []).append(find_run(run.workspace, name))
        if of:
            looks.setdefault(way, []).append(_explanation(of, name))
    found = contrasted(runs, looks, settings.against)
    by = f"; {found.look}" if found.look else ""
    caption = (
        f"{found.protocol.words}. Each figure is the mean of a way's runs; its interval, and that of a paired "
        f"difference on the same women, knows of the women drawn and not of other seeds{by}"
    )
    yield Table("Contrast", found.columns, found.table(), caption)
    if settings.against:
        yield Table("Paired differences", found.columns_apart, found.table_apart(), found.protocol.words)
    path = run.folder / "contrast.json"
    values = {"run": run.id, "rows": found.rows(), "differences": found.rows_apart(), "protocol": found.protocol.words}
    files.write_json(path, values)
    yield Result(values, outputs=[str(path)])


def _explanation(of: dict[str, Run], name: str) -> Run:
    if name not in of:
        raise SettingsError(
            f"explained: there is no explanation of {name}",
            hint=f"make it, {hints.command('explain', name)}, or name none",
            fields=("explained",),
        )
    return of[name]
