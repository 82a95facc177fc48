"""Decide which series of a collection are wanted: kinds, splits, masks, patients, or what an audit misses."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.data.archive.index import Series
from tfm.data.patient_id import find_patient_ids

_SUBJECT = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)(_\d+)?")
_KINDS = {"Mass": "mass", "Calc": "calc"}
_SPLITS = {"Training": "train", "Test": "test"}


def name_part(series: Series) -> str:
    """The part of CBIS-DDSM that a series belongs to, such as "mass train"; "" in another collection."""
    found = _SUBJECT.fullmatch(series.subject)
    return f"{_KINDS[found[1]]} {_SPLITS[found[2]]}" if found else ""


def is_mammogram(series: Series) -> bool:
    """Whether a series holds a whole mammogram. Those of masks and crops are named after a lesion."""
    found = _SUBJECT.fullmatch(series.subject)
    return found is None or found[3] is None


def select_parts(found: Iterable[Series], parts: Collection[str], *, with_masks: bool) -> list[Series]:
    return [one for one in found if name_part(one) in parts and (with_masks or is_mammogram(one))]


def select_missing(found: Iterable[Series], manifest: Path) -> list[Series]:
    """Select what the audit of a dataset misses."""
    if not manifest.is_file():
        raise SettingsError(
            f"the audit of {manifest.parent.name} misses no series",
            hint=f"leave out {hints.setting('missing_from')}, or organize the download again to see what is missing",
            fields=("missing_from",),
        )
    _, _, listed = manifest.read_text(encoding="utf-8").partition("ListOfSeriesToDownload=")
    uids = set(listed.split())
    series = [one for one in found if one.uid in uids]
    if len(series) < len(uids):
        unknown = uids - {one.uid for one in series}
        raise DataError(
            f"{len(unknown)} of the {len(uids)} series in {manifest} are not in the index, such as {min(unknown)}",
            hint="check that the collection is the one that this dataset was organized from",
        )
    return series


def find_patient(series: Series) -> str:
    return next(iter(find_patient_ids(series.subject)), series.subject)


def select_patients(found: Sequence[Series], limit: int, groups: Mapping[str, tuple[str, str]]) -> list[Series]:
    """Select the series of `limit` patients, half of them malignant, in the proportions of the splits.

    Args:
        groups: Patient → (split, label). Patients without a label are never selected.
    """
    here = {find_patient(one) for one in found}
    by_label: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for patient, (split, label) in groups.items():
        if patient in here:
            by_label[label][split].append(patient)
    chosen: set[str] = set()
    labels = sorted(by_label, key=lambda label: sum(map(len, by_label[label].values())))  # the rarest first
    for place, label in enumerate(labels):
        chosen |= _choose(by_label[label], (limit - len(chosen)) // (len(labels) - place))
    return [one for one in found if find_patient(one) in chosen]


def _choose(patients: Mapping[str, Sequence[str]], count: int) -> set[str]:
    """Choose patients of one label, from each split its share. The same patients come first whatever the count."""
    ranked = [
        ((rank + 0.5) / len(members), split, patient)
        for split, members in patients.items()
        for rank, patient in enumerate(sorted(members, key=_hash))
    ]
    return {patient for _, _, patient in sorted(ranked)[:count]}


def _hash(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()


def group_cases(cases: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Split and label of each patient of CBIS-DDSM: malignant if any lesion is, for testing if any image is."""
    is_test = (cases["split"] == "test").groupby(cases["patient_id"]).any()
    is_malignant = (cases["pathology"] == "MALIGNANT").groupby(cases["patient_id"]).any()
    return {
        str(patient): ("test" if tests else "train", "malignant" if malignant else "benign")
        for (patient, tests), malignant in zip(is_test.items(), is_malignant, strict=True)
    }
