"""Format tables of a dataset as CSV. Their texts come from files of any origin."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tfm.core.escape_text import escape_csv_cell


def format_table(table: pd.DataFrame, columns: Sequence[str] | None = None) -> str:
    """Format these columns, or all. No text is a formula for a spreadsheet."""
    chosen = table if columns is None else table[list(columns)]
    escaped = chosen.map(lambda cell: escape_csv_cell(cell) if isinstance(cell, str) else cell)
    text: str = escaped.to_csv(index=False, lineterminator="\n")
    return text
