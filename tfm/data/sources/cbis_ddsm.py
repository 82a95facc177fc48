"""The official case CSVs, read tolerantly into one table: a row a lesion. No file but the CSVs is looked at."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.data.download.folders import UTF_16, Tables
from tfm.data.download.notices import Notice

# Our name for a column: the names it has had in CSVs found in the wild (lower case, blanks for - and _).
_NEEDED = {
    "patient_id": ("patient id",),
    "side": ("left or right breast", "side"),
    "view": ("image view", "view"),
    "lesion_id": ("abnormality id", "abn num"),
    "kind": ("abnormality type",),
    "pathology": ("pathology",),
    "density": ("breast density",),
    "assessment": ("assessment",),
    "subtlety": ("subtlety",),
}
_PATHS = {
    "image_series": ("image file path", "od img path"),
    "crop_series": ("cropped image file path", "od crop path"),
    "mask_series": ("roi mask file path", "mask path"),
}
_WORDS = {
    "shape": ("mass shape",),
    "margins": ("mass margins",),
    "calc_type": ("calc type",),
    "distribution": ("calc distribution",),
}
_SCALES = ("density", "assessment", "subtlety")
_LONGEST_HEADER = 10_000  # characters: what is longer is no table
SERIES = tuple(_PATHS)
_KINDS = {"mass": "mass", "calcification": "calc"}
_SPLITS = {"Training": "train", "Test": "test"}
PATHOLOGIES = ("BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT")
_WORDS_KNOWN = {"side": ("LEFT", "RIGHT"), "view": ("CC", "MLO"), "pathology": PATHOLOGIES}
IMAGE_KEY = ["kind", "split", "patient_id", "side", "view"]  # a mammogram as one CSV issues it
LESION_KEY = [*IMAGE_KEY, "lesion_id"]
_SPLIT_IN_NAME = re.compile(r"(?:^|[^a-z])(train|test)(?:ing)?(?![a-z])")
_OFFICIAL = "compare it with the four case CSVs of the CBIS-DDSM page at TCIA, or download it again from there"


def find_case_files(tables: Tables) -> list[Path]:
    """Every CSV that describes cases, told by its name or its columns."""
    found = tables.which(_is_case_file)
    if not found:
        raise SettingsError(
            "no case CSV was found in the folders given, nor around them",
            hint="put mass_case_description_train_set.csv and its three sisters beside the download (they are offered "
            f"on the same TCIA page), or say where they are: {hints.setting('csv', 'FOLDER')}",
            fields=("download", "csv"),
        )
    return found


def read_cases(paths: Sequence[Path]) -> pd.DataFrame:
    """LESION_KEY, pathology, density, assessment, subtlety, the words for the lesion ("" where none are given) and the
    three series UIDs ("" where a CSV has no paths).

    A CSV met twice counts once; two that contradict each other are refused.
    """
    read = {path: _read_case_file(path) for path in paths}
    cases = pd.concat(read.values(), ignore_index=True).drop_duplicates()
    twice = cases[cases.duplicated(LESION_KEY)]
    if len(twice):
        _refuse_contradiction(twice.iloc[0], read)
    return cases.sort_values(LESION_KEY, ignore_index=True)


def _refuse_contradiction(lesion: pd.Series, read: dict[Path, pd.DataFrame]) -> None:
    rows = {path: table[(table[LESION_KEY] == lesion[LESION_KEY]).all(axis=1)] for path, table in read.items()}
    told = pd.concat(rows.values())
    columns = [column for column in told if told[column].nunique(dropna=False) > 1]
    raise DataError(
        f"the CSVs tell two things of lesion {lesion.lesion_id} of {lesion.patient_id} {lesion.side} {lesion.view} "
        f"({lesion.kind}, {lesion.split}), as its {' and '.join(map(str, columns))}: "
        f"{' and '.join(str(path) for path, found in rows.items() if len(found))}",
        hint="leave one copy of each case CSV in the folders given",
    )


def select_kinds(cases: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    chosen = cases[cases["kind"].isin(list(kinds))].reset_index(drop=True)
    if not len(chosen):
        raise DataError(
            f"no {' or '.join(kinds)} case in the CSVs found",
            hint=f"add the {kinds[0]} CSVs, or choose the kind that you have: "
            f"{hints.setting('lesions', _other(kinds[0]))}",
        )
    return chosen


def _other(kind: str) -> str:
    return "calc" if kind == "mass" else "mass"


def report_missing_csvs(cases: pd.DataFrame, kinds: Sequence[str]) -> list[Notice]:
    """The parts of the collection that no CSV speaks of: whoever has a part of it should know which."""
    present = set(zip(cases["kind"], cases["split"], strict=True))
    return [
        Notice("no-csv", f"{kind} {split}", "no CSV with these cases was found")
        for kind in kinds
        for split in ("train", "test")
        if (kind, split) not in present
    ]


def _normalize(header: str) -> str:
    return header.strip().lower().replace("_", " ").replace("-", " ")


def _is_case_file(path: Path) -> bool:
    """By its name, which TCIA gave it; under another name by all the columns that are needed."""
    named = set(map(_normalize, read_column_names(path)))
    return "case_description" in path.name.lower() or all(named & set(known) for known in _NEEDED.values())


def read_column_names(path: Path) -> list[str]:
    """The column names of a CSV; none of a file that cannot be read as one."""
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
    """Excel writes semicolons where commas are decimal points."""
    return max(",;\t", key=header.count)


def read_text_table(path: Path) -> pd.DataFrame:
    """A CSV as it stands, all values text."""
    try:
        return pd.read_csv(
            path, dtype=str, encoding=_detect_encoding(path), sep=_detect_separator(_read_first_line(path))
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{path} holds characters that are not UTF-8", hint="save it as CSV UTF-8") from error
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} cannot be read as a CSV: {error}", hint=_OFFICIAL) from error


def _read_case_file(path: Path) -> pd.DataFrame:
    raw = read_text_table(path)
    columns = {_normalize(name): name for name in raw.columns}
    table = pd.DataFrame(index=raw.index)
    for ours, known in (_NEEDED | _WORDS | _PATHS).items():
        theirs = next((columns[name] for name in known if name in columns), None)
        if theirs is not None:
            table[ours] = raw[theirs].str.strip()
        elif ours in _NEEDED:
            raise DataError(f'{path} has no column "{known[0]}"', hint=_OFFICIAL)
        else:
            table[ours] = ""
    return _convert_columns(table, path)


def _convert_columns(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    paths = {column: table[column].fillna("").str.replace("\\", "/") for column in _PATHS}
    _refuse_climbing(paths, path)
    table["split"] = _resolve_splits(paths["image_series"].str.extract(r"-(Training|Test)_")[0].map(_SPLITS), path)
    # TCIA's PatientID names one view; the woman inside it is what may never stand in two splits.
    table["patient_id"] = table["patient_id"].str.extract(r"(P_\d+)")[0]
    for column in _WORDS_KNOWN:
        table[column] = table[column].str.upper().where(table[column].str.upper().isin(_WORDS_KNOWN[column]), None)
    table["kind"] = table["kind"].str.lower().map(_KINDS)
    for column in ("lesion_id", *_SCALES):
        numbers = pd.to_numeric(table[column], errors="coerce")
        table[column] = numbers.where(numbers % 1 == 0).astype("Int64")
    for column in _WORDS:
        table[column] = table[column].fillna("")
    for column in _PATHS:  # …/<series UID>/<file>; in half a CSV the last path has lost its file
        series = paths[column].str.extract(r"([^/]+)/[^/]*\.[A-Za-z]\w*$")[0]
        table[column] = "" if (paths[column] == "").all() else series
    for column in (*LESION_KEY, "pathology", *_PATHS):
        if table[column].isna().any():
            row = int(table[column].isna().to_numpy().argmax()) + 1
            known = (_NEEDED | _PATHS | {"split": ("split",)})[column][0]
            raise DataError(f'{path}, case {row}: no usable value for "{known}"', hint=_OFFICIAL)
    return table[[*LESION_KEY, "pathology", *_SCALES, *_WORDS, *_PATHS]]


def _refuse_climbing(paths: dict[str, pd.Series], path: Path) -> None:
    for column, values in paths.items():
        climbing = values.str.split("/").map(lambda parts: ".." in parts)
        if climbing.any():
            row = int(climbing.to_numpy().argmax()) + 1
            raise DataError(
                f'{path}, case {row}: the path under "{_PATHS[column][0]}" climbs out of the download', hint=_OFFICIAL
            )


def _resolve_splits(named: pd.Series, path: Path) -> pd.Series:
    """TCIA's own split: what the paths in the rows say, else what the file name says; never against each other."""
    words = _SPLIT_IN_NAME.findall(path.name.lower())
    if len(words) != 1:
        return named
    if (named.dropna() != words[0]).any():
        raise DataError(
            f"{path} is named after the {words[0]} split, but holds cases of the other",
            hint="give the file its official name back",
        )
    return named.astype(object).fillna(words[0])
