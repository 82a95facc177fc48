"""The tables of main.tex: so narrow that they stand upright in a normal size. The whole ones are files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfm.analysis.export_table import ExportTable

_MOST_ROWS = 40  # of a page
_HEADINGS = {  # shorter ones
    "AUC (95 % interval)": "AUC",
    "difference to the best (95 % interval)": "difference to the best",
    "difference in AUC (95 % interval)": "difference in AUC",
    "smallest detectable difference": "detectable",
}
_INTERVALS = "In parentheses: 95 % intervals."


def list_document_tables(tables: Mapping[str, ExportTable]) -> dict[str, ExportTable]:
    """Map the label of each table of main.tex to its table, from the tables of a report by their names."""
    ranking = tables["comparison"]
    chosen = {"characteristics": tables["characteristics"]} if "characteristics" in tables else {}
    auc = [ranking.columns[2], *(name for name in ranking.columns if name.startswith(("difference", "Holm")))]
    caption = ranking.caption.partition("; DeLong p")[0]  # a column that this table lacks
    chosen["comparison"] = _select(ranking, ["rank", "model", *auc], f"{caption}. {_INTERVALS}")
    chosen["comparison-rates"] = _join_costs(ranking, tables["comparison-costs"])
    if "comparison-pairs" in tables:
        pairs = tables["comparison-pairs"]
        names = ["better", "worse", "difference in AUC (95 % interval)", "Holm p"]
        chosen["comparison-pairs"] = _select(pairs, names, f"All pairs of models. {_INTERVALS}")
        names = ["better", "worse", "smallest detectable difference", "patients needed"]
        caption = (
            "The smallest difference in AUC that this test can detect, and the patients that would be needed to show "
            "the observed one, each for a single comparison at the 5 % level with a power of 80 %."
        )
        chosen["comparison-power"] = _select(pairs, names, caption)
    for label, table in tables.items():
        if label.startswith("external-"):
            chosen[label] = ExportTable(f"{table.caption}. {_INTERVALS}", table.columns, table.rows, table.records)
    return {label: _shorten(table) for label, table in chosen.items()}


def _select(table: ExportTable, names: Sequence[str], caption: str) -> ExportTable:
    places = [table.columns.index(name) for name in names]
    rows = [[row[place] for place in places] for row in table.rows]
    return ExportTable(caption, [_HEADINGS.get(name, name) for name in names], rows, table.records)


def _join_costs(ranking: ExportTable, costs: ExportTable) -> ExportTable:
    """What each model calls right, and what it took. The mean of all models took nothing of its own."""
    rates = _select(ranking, ["model", "sensitivity", "specificity"], "")
    names = ["runs", "parameters", "minutes"]
    took = dict(zip([row[0] for row in costs.rows], _select(costs, names, "").rows, strict=True))
    rows = [[*row, *took.get(row[0], [""] * len(names))] for row in rates.rows]
    caption = (
        "Sensitivity and specificity at the threshold of validation, and what each model took. Minutes are the sum "
        f"over runs. {_INTERVALS}"
    )
    return ExportTable(caption, [*rates.columns, *names], rows, ranking.records)


def _shorten(table: ExportTable) -> ExportTable:
    """Keep what fits on a page."""
    if len(table.rows) <= _MOST_ROWS:
        return table
    caption = f"{table.caption} The first {_MOST_ROWS} of {len(table.rows)} rows; the files in tables have all."
    return ExportTable(caption, table.columns, table.rows[:_MOST_ROWS], table.records)
