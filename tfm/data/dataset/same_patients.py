"""Find the patients that a collection names twice: by another spelling, or by an identical image under another name.

Only files that may be identical are decoded. CBIS-DDSM has 100 GB of mammograms, and identical ones are rare.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.lesions_to_images import VIEW_KEY
from tfm.data.download.notices import Notice
from tfm.data.patient_id import normalise_patient_id
from tfm.imaging.read_image import hash_pixels, read_pixels

_BLOCK = 4096  # bytes
# Before the end of the file, because headers differ in length. The largest is in the middle of a scan of 33 MB.
_BLOCK_DISTANCES = tuple(_BLOCK * 4**power for power in range(1, 7))
_FEWEST_PIXELS = 512  # smaller images are placeholders, which have the same pixels for many patients


class _ImageFile(NamedTuple):
    image: str  # patient, side and view
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


def find_same_patients(lesions: pd.DataFrame, roles: Iterable[str]) -> SamePatients:
    """Compare the names of all patients, and the files of some roles ("image", "crop") of different patients."""
    patient_of = {patient: normalise_patient_id(patient) for patient in sorted(set(lesions["patient_id"]))}
    identical = []
    for role in sorted(roles):
        for files in _find_identical_files(list(_list_files(lesions, role)), patient_of):
            patients = {patient_of[file.patient] for file in files}
            first = min(patients)
            patient_of = {name: first if patient in patients else patient for name, patient in patient_of.items()}
            identical.append(tuple(sorted({file.image for file in files})))
    return SamePatients(patient_of, tuple(sorted(set(identical))))


def _list_files(lesions: pd.DataFrame, role: str) -> Iterator[_ImageFile]:
    """List each file once, except placeholders."""
    files = lesions[lesions[f"{role}_rows"] * lesions[f"{role}_columns"] >= _FEWEST_PIXELS]
    for row in files.drop_duplicates(f"{role}_file").to_dict("records"):
        image = "_".join(row[column] for column in VIEW_KEY)
        yield _ImageFile(image, row["patient_id"], row[f"{role}_file"], row[f"{role}_rows"], row[f"{role}_columns"])


def _find_identical_files(files: list[_ImageFile], patient_of: dict[str, str]) -> list[list[_ImageFile]]:
    """Group the files of different patients by size, then by some of their bytes, and only then by their pixels."""
    groups = [files]
    keys: tuple[Callable[[_ImageFile], Hashable], ...] = (lambda file: (file.rows, file.columns), _probe, _hash_file)
    for key in keys:
        groups = [part for group in groups for part in _group_by_key(group, key)]
        groups = [group for group in groups if len({patient_of[file.patient] for file in group}) > 1]
    return groups


def _group_by_key(files: Iterable[_ImageFile], key: Callable[[_ImageFile], Hashable]) -> list[list[_ImageFile]]:
    """Files whose key is None are in no group."""
    groups: dict[Hashable, list[_ImageFile]] = {}
    for file in files:
        if (value := key(file)) is not None:
            groups.setdefault(value, []).append(file)
    return list(groups.values())


def _probe(file: _ImageFile) -> bytes | None:
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


def _hash_file(file: _ImageFile) -> str | None:
    """Return None if the pixels cannot be read; that is reported when they are needed."""
    try:
        return hash_pixels(read_pixels(Path(file.file)))
    except DataError:
        return None
