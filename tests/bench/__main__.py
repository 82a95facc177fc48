"""Measure everything in one run and print one table: `python -m tests.bench`, or a part of it with `-k NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.bench.rows import rows


def main() -> int:
    everything = ["-n0", "-q", "-m", "long or not long", str(Path(__file__).parent)]
    status = pytest.main([*everything, *sys.argv[1:]])
    Console(width=None if sys.stdout.isatty() else 120).print(draw_table())
    return int(status)


def draw_table() -> Table:
    table = Table(title="Speed of this machine")
    for name in ("what", "ours", "usual way", "floor", "faster", "× floor", "required"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        figures = [format_figure(value, row.unit) for value in (row.ours, row.usual, row.floor)]
        faster = row.usual and format_figure(row.usual / row.ours, "×")
        slower = row.floor and format_figure(row.ours / row.floor, "×")
        table.add_row(row.what, *figures, faster, slower, row.required, style="" if row.is_reached else "red")
    return table


def format_figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


if __name__ == "__main__":
    sys.exit(main())
