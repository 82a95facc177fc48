"""Find the patients that a collection names twice: by another spelling, or by an identical image under another name.

Only files that may be identical are decoded. CBIS-DDSM has 100 GB of mammograms, and identical ones are rare.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.download.notices import Notice
from tfm.data.patient_id import normalise_patient_id
from tfm.imaging.read_image import hash_pixels, read_pixels

_BLOCK = 4096  # bytes
# Before the end of the file, because headers differ in length. The largest is in the middle of a scan of 33 MB.
_BLOCK_DISTANCES = tuple(_BLOCK * 4**power for power in range(1, 7))
_FEWEST_PIXELS = 512  # smaller images are placeholders, which have the same pixels for many patients


class ComparedFile(NamedTuple):
    image: str  # the mammogram
    patient: str
    file: str
    rows: int
    columns: int


@dataclass(frozen=True)
class SamePatients:
    patient_of: dict[str, str]  # patient of the CSVs → the patient that it counts as
    identical: tuple[tuple[str, ...], ...]  # views of different patients whose images have the same pixels

    def describe(self) -> str:
        """Return the merged patients as a part of the protocol; "" if there are none."""
        named = {normalise_patient_id(name): patient for name, patient in self.patient_of.items()}
        merged = {patient for name, patient in named.items() if name != patient}
        count = sum(patient in merged for patient in named.values())
        return f"{count} patients counted as {len(merged)} (identical images)" if merged else ""

    def list_notices(self) -> list[Notice]:
        return [
            Notice("same-patient", names[0], f"the same pixels as {' and '.join(names[1:])}")
            for names in self.identical
        ]


def list_compared_files(
    images: pd.Series, patients: pd.Series, files: pd.Series, rows: pd.Series, columns: pd.Series
) -> list[ComparedFile]:
    """List each file once, except placeholders."""
    table = pd.DataFrame({"image": images, "patient": patients, "file": files, "rows": rows, "columns": columns})
    table = table[table["rows"] * table["columns"] >= _FEWEST_PIXELS].drop_duplicates("file")
    return [ComparedFile(*row) for row in table.itertuples(index=False)]


def find_same_patients(patients: Iterable[str], compared: Sequence[list[ComparedFile]]) -> SamePatients:
    """Compare the names of all patients, and the files of different patients within each list."""
    names = {*patients, *(file.patient for listed in compared for file in listed)}
    patient_of = {patient: normalise_patient_id(patient) for patient in sorted(names)}
    identical = []
    for listed in compared:
        for files in _find_identical_files(listed, patient_of):
            merged = {patient_of[file.patient] for file in files}
            first = min(merged)
            patient_of = {name: first if patient in merged else patient for name, patient in patient_of.items()}
            identical.append(tuple(sorted({file.image for file in files})))
    return SamePatients(patient_of, tuple(sorted(set(identical))))


def _find_identical_files(files: list[ComparedFile], patient_of: dict[str, str]) -> list[list[ComparedFile]]:
    """Group the files of different patients by size, then by some of their bytes, and only then by their pixels."""
    groups = [files]
    keys: tuple[Callable[[ComparedFile], Hashable], ...] = (lambda file: (file.rows, file.columns), _probe, _hash_file)
    for key in keys:
        groups = [part for group in groups for part in _group_by_key(group, key)]
        groups = [group for group in groups if len({patient_of[file.patient] for file in group}) > 1]
    return groups


def _group_by_key(files: Iterable[ComparedFile], key: Callable[[ComparedFile], Hashable]) -> list[list[ComparedFile]]:
    """Files whose key is None are in no group."""
    groups: dict[Hashable, list[ComparedFile]] = {}
    for file in files:
        if (value := key(file)) is not None:
            groups.setdefault(value, []).append(file)
    return list(groups.values())


def _probe(file: ComparedFile) -> bytes | None:
    """Read some blocks of a file; None if it cannot be read or they have one grey value only, as in a placeholder."""
    try:
        with open(file.file, "rb", buffering=0) as stream:
            size = stream.seek(0, 2)
            longest = min(size // 2, file.rows * file.columns)  # before the pixels is a header that names the patient
            blocks = []
            for distance in [min(_BLOCK, longest), *(one for one in _BLOCK_DISTANCES if one <= longest)]:
                stream.seek(max(0, size - distance))
                blocks.append(stream.read(_BLOCK))
    except OSError:
        return None
    content = b"".join(blocks)
    return content if len({*zip(content[::2], content[1::2], strict=False)}) > 1 else None


def _hash_file(file: ComparedFile) -> str | None:
    """Return None if the pixels cannot be read; that is reported when they are needed."""
    try:
        return hash_pixels(read_pixels(Path(file.file)))
    except DataError:
        return None
