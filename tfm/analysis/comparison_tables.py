"""The tables of a comparison: a narrow one for the terminal, and those that are exported as files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tfm.analysis.comparison import OUT_OF_FOLD_COLUMNS, RUN_COLUMNS, OutOfFoldRanking, RankedRow, Ranking
from tfm.analysis.export_table import ExportTable
from tfm.analysis.format_intervals import format_difference, format_interval, format_number, format_p_value
from tfm.analysis.model_tests import ModelTest
from tfm.analysis.run_costs import RunCosts
from tfm.metrics.intervals import Interval

SCREEN_COLUMNS = ["#", "model", "AUC", "difference\nto best", "Holm\np", "sens.", "spec."]
_COST_COLUMNS = ["model", "runs", "weights", "parameters", "minutes", "images/s", "GPU memory (GiB)", "epochs", "seeds"]
_PAIR_COLUMNS = [
    "better",
    "worse",
    "difference in AUC (95 % interval)",
    "Holm p",
    "DeLong p",
    "smallest detectable difference",
    "patients needed",
]
_MANY_PATIENTS = 1_000_000
_POWER_CAPTION = (
    "The smallest detectable difference and the patients needed to show the observed one are for a single comparison "
    "at the 5 % level with a power of 80 %"
)


def format_screen_rows(ranking: Ranking) -> list[list[str]]:
    """Format the rows for 80 columns: an interval is the second line of its cell."""
    rows = []
    for row in ranking.rows:
        entry, count = row.entry, len(row.entry.models)
        spread = f"\n{count} runs, SD {format_number(entry.spread)}" if count > 1 else ""
        rows.append(
            [
                row.rank,
                row.name + spread,
                _break_before_interval(format_interval(entry.auc)),
                _break_before_interval(format_difference(row.difference)) if row.difference else "",
                format_p_value(row.test.holm_p) if row.test else "",
                *(format_number(entry.average_rate(name).value) for name in ("sensitivity", "specificity")),
            ]
        )
    return rows


def _break_before_interval(text: str) -> str:
    return text.replace(" (", "\n").removesuffix(")")


def build_tables(
    ranking: Ranking, pooled: Sequence[OutOfFoldRanking], costs: Mapping[str, RunCosts]
) -> dict[str, ExportTable]:
    """Build all tables of a ranking, by the ending of their files' name.

    Args:
        pooled: The out-of-fold rankings of the same models.
        costs: What each run took, by the run's id.
    """
    tables = {
        "": ExportTable(
            ranking.caption,
            ranking.columns,
            ranking.format_rows(),
            [_list_row(ranking, row, costs) for row in ranking.rows],
        ),
        "-costs": ExportTable(
            f"{ranking.protocol.sample}. Minutes are the sum over runs; what a run did not record is left blank",
            _COST_COLUMNS,
            [_format_costs(row, costs) for row in ranking.rows if row.entry is not ranking.mean],
            [{"model": row.name, **_list_costs(row, costs)} for row in ranking.rows if row.entry is not ranking.mean],
        ),
    }
    if ranking.tests:
        tables["-pairs"] = ExportTable(
            f"{ranking.caption}. {_POWER_CAPTION}",
            _PAIR_COLUMNS,
            [_format_pair(test) for test in ranking.tests],
            _list_pairs(ranking),
        )
    if ranking.is_repeated:
        tables["-runs"] = ExportTable(
            ranking.protocol.caption, RUN_COLUMNS, ranking.format_runs(), ranking.list_values()
        )
    for number, one in enumerate(pooled, start=1):
        tables[f"-out-of-fold-{number}"] = ExportTable(
            one.caption, OUT_OF_FOLD_COLUMNS, one.format_rows(), one.list_values()
        )
    return tables


def _list_pairs(ranking: Ranking) -> list[dict[str, Any]]:
    """List the test of each pair for a program."""
    return [
        {
            "better": test.better,
            "worse": test.worse,
            **test.difference.interval.flatten("difference"),
            "p": test.difference.p_value,
            "holm_p": test.holm_p,
            "delong_p": _replace_unknown(test.delong_p),
            "detectable_difference": _replace_unknown(test.detectable),
            "patients_needed": _replace_unknown(test.patients_needed),
            "patients": test.patients,
        }
        for test in ranking.tests
    ]


def _list_row(ranking: Ranking, row: RankedRow, costs: Mapping[str, RunCosts]) -> dict[str, Any]:
    entry, test = row.entry, row.test
    is_ranked = entry is not ranking.mean
    known = row.difference or Interval(math.nan, math.nan, math.nan)
    return {
        "rank": int(row.rank.rstrip("*")) if is_ranked else None,
        "like_the_best": ranking.is_marked(row.name) if is_ranked else None,
        "model": row.name,
        **entry.auc.flatten("auc"),
        "auc_sd": _replace_unknown(entry.spread),
        "auc_lowest": min(entry.aucs),
        "auc_highest": max(entry.aucs),
        **known.flatten("difference"),
        "p": _replace_unknown(test.difference.p_value) if test else None,
        "holm_p": _replace_unknown(test.holm_p) if test else None,
        "delong_p": _replace_unknown(test.delong_p) if test else None,
        "detectable_difference": _replace_unknown(test.detectable) if test else None,
        "patients_needed": _replace_unknown(test.patients_needed) if test else None,
        **entry.average_rate("sensitivity").flatten("sensitivity"),
        **entry.average_rate("specificity").flatten("specificity"),
        **(_list_costs(row, costs) if is_ranked else dict.fromkeys(_list_costs(ranking.rows[0], costs))),
        "protocol": ranking.protocol.caption,
    }


def _list_costs(row: RankedRow, costs: Mapping[str, RunCosts]) -> dict[str, Any]:
    models = row.entry.models
    own = [costs[model.run] for model in models]
    speeds = [one.images_per_second for one in own if one.images_per_second is not None]
    return {
        "runs": len(models),
        "weights": row.entry.first.weights,
        "parameters": row.entry.first.parameters,
        "minutes": sum(model.minutes for model in models),
        "images_per_second": statistics.median(speeds) if speeds else None,
        "gpu_memory_gib": max((one.memory_gib for one in own if one.memory_gib is not None), default=None),
        "epochs": [one.epochs for one in own if one.epochs is not None],
        "seeds": sorted({model.seed for model in models}),
        "folds": sorted({model.fold for model in models}),
        "run_ids": [model.run for model in models],
    }


def _format_costs(row: RankedRow, costs: Mapping[str, RunCosts]) -> list[str]:
    values = _list_costs(row, costs)
    speed, memory = values["images_per_second"], values["gpu_memory_gib"]
    return [
        row.name,
        str(values["runs"]),
        values["weights"],
        f"{values['parameters']:,}",
        f"{values['minutes']:.1f}",
        "" if speed is None else f"{speed:.3g}",
        "" if memory is None else f"{memory:.1f}",
        ", ".join(map(str, values["epochs"])),
        ", ".join(map(str, values["seeds"])),
    ]


def _format_pair(test: ModelTest) -> list[str]:
    return [
        test.better,
        test.worse,
        format_difference(test.difference.interval),
        format_p_value(test.holm_p),
        format_p_value(test.delong_p),
        format_number(test.detectable),
        format_patients(test.patients_needed),
    ]


def format_patients(count: float) -> str:
    """Format a number of patients that is known to two digits at best."""
    return f"{float(f'{count:.2g}'):,.0f}" if count < _MANY_PATIENTS else "–"


def _replace_unknown(value: float) -> float | None:
    return value if math.isfinite(value) else None
