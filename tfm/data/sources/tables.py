"""Read tables of text: CSVs with any separator, and spreadsheets. Each collection knows what its columns mean."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.download.find_files import UTF_16

_LONGEST_HEADER = 10_000  # characters; a file with a longer first line is not a table
_LONGEST_CELL = 2_000  # characters
_SPREADSHEETS = {".xlsx": "openpyxl", ".xls": "xlrd"}  # the reader of each format
ROW = "row"  # column of `read_named_columns`: where a row is in its file


def normalize_header(header: str) -> str:
    return header.strip().lower().replace("_", " ").replace("-", " ")


def read_column_names(path: Path) -> list[str]:
    """Return the column names of a CSV, or none if the file cannot be read as a CSV."""
    try:
        first = _read_first_line(path)
        return next(csv.reader([first], delimiter=_detect_separator(first)), [])
    except (OSError, csv.Error):
        return []


def _read_first_line(path: Path) -> str:
    with open(path, encoding=_detect_encoding(path), errors="replace", newline="") as file:
        return next((line for line in iter(lambda: file.readline(_LONGEST_HEADER), "") if line.strip()), "")


def _detect_encoding(path: Path) -> str:
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in UTF_16 else "utf-8-sig"


def _detect_separator(header: str) -> str:
    """Return the most frequent separator: Excel writes semicolons where the comma is the decimal point."""
    return max(",;\t", key=header.count)


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV with all values as text."""
    try:
        separator = _detect_separator(_read_first_line(path))
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            # Without `index_col`, what a row has more than the header would move its cells to other columns.
            table = pd.read_csv(path, dtype=str, encoding=_detect_encoding(path), sep=separator, index_col=False)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"{path} has a row with more cells than its header", hint="download it again, or correct that row"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} contains characters that are not UTF-8", hint="save it as CSV UTF-8") from error
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"{path} cannot be read as a CSV: {error}", hint="download it again, or save it again as CSV UTF-8"
        ) from error
    return _check_cells(table, path)


def read_spreadsheet(path: Path) -> pd.DataFrame:
    """Read the first sheet of a spreadsheet, or a CSV, with all values as text."""
    if path.suffix.lower() not in _SPREADSHEETS:
        return read_text_table(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about styles that a reader does not know
            table: pd.DataFrame = pd.read_excel(path, dtype=str, engine=_SPREADSHEETS[path.suffix.lower()])  # type: ignore[call-overload]
    except Exception as error:  # the readers raise all kinds of errors about damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as a spreadsheet: {reason}", hint="download it again") from error
    return _check_cells(table, path)


def _check_cells(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Refuse a cell that is no name and no path: searching it for names would take minutes."""
    for name in table:
        if table[name].str.len().max() > _LONGEST_CELL:
            raise DataError(
                f'{path} has a cell of more than {_LONGEST_CELL} characters under "{str(name)[:40]}"',
                hint="shorten it, or download the file again",
            )
    return table


def read_named_columns(
    path: Path, needed: Mapping[str, Sequence[str]], optional: Mapping[str, Sequence[str]], *, hint: str
) -> pd.DataFrame:
    """Read the columns with known names, as text without blanks around it; "" where a cell is empty.

    Args:
        needed: Our name of a column → the names that it may have. A table without one of them is refused.
        optional: The same for columns that may be absent.
    """
    raw = read_spreadsheet(path).fillna("")
    theirs = {normalize_header(str(name)): name for name in reversed(raw.columns)}
    table = pd.DataFrame(index=raw.index)
    for ours, names in {**needed, **optional}.items():
        found = next((theirs[name] for name in map(normalize_header, names) if name in theirs), None)
        if found is not None:
            table[ours] = raw[found].astype(str).str.strip()
        elif ours in needed:
            raise DataError(f'{path} has no column "{names[0]}"', hint=hint)
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise DataError(f"{path} has no rows", hint=hint)
    table[ROW] = table.index + 2  # the first row is the header
    return table.reset_index(drop=True)


def refuse_unknown_values(
    path: Path, table: pd.DataFrame, column: str, known: Mapping[str, str], normalise: Callable[[str], str]
) -> pd.Series:
    """Return our words for the values of a column. A value that is not known is refused with its row."""
    values = table[column].map(normalise).map(known)
    if values.isna().any():
        place = int(values.isna().to_numpy().argmax())
        raise DataError(
            f'{path}, row {table[ROW].iloc[place]}: "{table[column].iloc[place]}" is no known {column}',
            hint=f"correct the row; known are {', '.join(known)}",
        )
    return values


def refuse_repeated_rows(path: Path, table: pd.DataFrame, column: str) -> None:
    repeated = table[table.duplicated(column, keep=False)]
    if len(repeated):
        name = repeated[column].iloc[0]
        rows = repeated.loc[repeated[column] == name, ROW]
        raise DataError(
            f"{path} has several rows for {name}: rows {', '.join(map(str, rows))}",
            hint="leave one row for each image",
        )
