"""Read the official case CSVs, and their known variants, into one table with a row per lesion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.data.download.find_files import Tables
from tfm.data.download.notices import Notice
from tfm.data.patient_id import find_patient_ids
from tfm.data.sources.tables import normalize_header, read_column_names, read_text_table

# Our column name → its normalized names in the CSVs that are in circulation.
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
_DESCRIPTIONS = {
    "shape": ("mass shape",),
    "margins": ("mass margins",),
    "calc_type": ("calc type",),
    "distribution": ("calc distribution",),
}
_SCALES = ("density", "assessment", "subtlety")
_LARGEST_NUMBER = 10**9  # of a lesion, or on a scale
SERIES = tuple(_PATHS)
_KINDS = {"mass": "mass", "calcification": "calc"}
_SPLITS = {"Training": "train", "Test": "test"}
PATHOLOGIES = ("BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT")
_KNOWN_VALUES = {"side": ("LEFT", "RIGHT"), "view": ("CC", "MLO"), "pathology": PATHOLOGIES}
IMAGE_KEY = ["kind", "split", "patient_id", "side", "view"]  # a mammogram in one CSV
LESION_KEY = [*IMAGE_KEY, "lesion_id"]
_SPLIT_IN_NAME = re.compile(r"(?:^|[^a-z])(train|test)(?:ing)?(?![a-z])")
_OFFICIAL = "compare it with the four case CSVs of the CBIS-DDSM page at TCIA, or download it again from there"


def find_case_files(tables: Tables) -> list[Path]:
    """Return the CSVs that describe cases, recognized by name or columns."""
    found = tables.select(is_case_file)
    if not found:
        raise SettingsError(
            "no case CSV was found in the given folders or near them",
            hint="put mass_case_description_train_set.csv and its three sisters beside the download (they are offered "
            f"on the same TCIA page), or say where they are: {hints.setting('csv', 'FOLDER')}",
            fields=("download", "csv"),
        )
    return found


def read_cases(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the CSVs into one table, without duplicate rows. Refuse rows that contradict each other.

    Text is "" where a CSV has no description or no paths; numbers are <NA>.
    """
    tables = {path: _read_case_file(path) for path in paths}
    cases = pd.concat(tables.values(), ignore_index=True).drop_duplicates()
    repeated = cases[cases.duplicated(LESION_KEY)]
    if len(repeated):
        _refuse_contradiction(repeated.iloc[0], tables)
    return cases.sort_values(LESION_KEY, ignore_index=True)


def _refuse_contradiction(lesion: pd.Series, tables: dict[Path, pd.DataFrame]) -> None:
    rows = {path: table[(table[LESION_KEY] == lesion[LESION_KEY]).all(axis=1)] for path, table in tables.items()}
    versions = pd.concat(rows.values())
    columns = [column for column in versions if versions[column].nunique(dropna=False) > 1]
    raise DataError(
        f"the CSVs disagree about lesion {lesion.lesion_id} of {lesion.patient_id} {lesion.side} {lesion.view} "
        f"({lesion.kind}, {lesion.split}) in {' and '.join(map(str, columns))}: "
        f"{' and '.join(str(path) for path, found in rows.items() if len(found))}",
        hint="leave only one copy of each case CSV in the given folders",
    )


def select_kinds(cases: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    chosen = cases[cases["kind"].isin(list(kinds))].reset_index(drop=True)
    if not len(chosen):
        other = "calc" if kinds[0] == "mass" else "mass"
        raise DataError(
            f"the CSVs contain no {' or '.join(kinds)} case",
            hint=f"add the {kinds[0]} CSVs, or choose the kind that you have: {hints.setting('lesions', other)}",
        )
    return chosen


def report_missing_csvs(cases: pd.DataFrame, kinds: Sequence[str]) -> list[Notice]:
    """Report the parts of the collection that have no CSV."""
    present = set(zip(cases["kind"], cases["split"], strict=True))
    return [
        Notice("no-csv", f"{kind} {split}", "no CSV with these cases was found")
        for kind in kinds
        for split in ("train", "test")
        if (kind, split) not in present
    ]


def is_case_file(path: Path) -> bool:
    """Whether the file has TCIA's name or all required columns."""
    columns = set(map(normalize_header, read_column_names(path)))
    return "case_description" in path.name.lower() or all(columns & set(known) for known in _NEEDED.values())


def _read_case_file(path: Path) -> pd.DataFrame:
    raw = read_text_table(path)
    columns = {normalize_header(name): name for name in raw.columns}
    table = pd.DataFrame(index=raw.index)
    for ours, known in (_NEEDED | _DESCRIPTIONS | _PATHS).items():
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
    for column, values in paths.items():
        is_unsafe = values.str.split("/").map(lambda parts: ".." in parts)
        if is_unsafe.any():
            row = int(is_unsafe.to_numpy().argmax()) + 1
            raise DataError(f'{path}, case {row}: the path under "{_PATHS[column][0]}" contains ".."', hint=_OFFICIAL)
    table["split"] = _resolve_splits(paths["image_series"].str.extract(r"-(Training|Test)_")[0].map(_SPLITS), path)
    # TCIA's PatientID names one view; the patient is the part that must not be in two splits.
    table["patient_id"] = table["patient_id"].map(lambda text: next(iter(find_patient_ids(text)), None), "ignore")
    for column in _KNOWN_VALUES:
        table[column] = table[column].str.upper().where(table[column].str.upper().isin(_KNOWN_VALUES[column]), None)
    table["kind"] = table["kind"].str.lower().map(_KINDS)
    for column in ("lesion_id", *_SCALES):
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        table[column] = numbers.where((numbers % 1 == 0) & (numbers.abs() < _LARGEST_NUMBER)).astype("Int64")
    for column in _DESCRIPTIONS:
        table[column] = table[column].fillna("")
    for column in _PATHS:  # …/<series UID>/<file>; in a truncated CSV the last path may lack its file
        series = paths[column].str.extract(r"([^/]+)/[^/]*\.[A-Za-z]\w*$")[0]
        table[column] = "" if (paths[column] == "").all() else series
    for column in (*LESION_KEY, "pathology", *_PATHS):
        if table[column].isna().any():
            row = int(table[column].isna().to_numpy().argmax()) + 1
            known = (_NEEDED | _PATHS | {"split": ("split",)})[column][0]
            raise DataError(f'{path}, case {row}: no usable value for "{known}"', hint=_OFFICIAL)
    return table[[*LESION_KEY, "pathology", *_SCALES, *_DESCRIPTIONS, *_PATHS]]


def _resolve_splits(named: pd.Series, path: Path) -> pd.Series:
    """Return TCIA's split from the paths in the rows, or else from the file name. Contradictions are refused."""
    words = _SPLIT_IN_NAME.findall(path.name.lower())
    if len(words) != 1:
        return named
    if (named.dropna() != words[0]).any():
        raise DataError(
            f"{path} is named after the {words[0]} split, but contains cases of the other split",
            hint="rename the file to its official name",
        )
    return named.astype(object).fillna(words[0])
