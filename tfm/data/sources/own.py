"""Images of one's own: a CSV of file, patient_id and label, or folders benign and malignant."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Event
from tfm.core.file_walk import FoundFile
from tfm.data.dataset.lesion_masks import MaskCircle
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.download.headers import is_jpeg
from tfm.data.download.notices import Notice
from tfm.data.download.plain_headers import is_plain_image
from tfm.data.new_images.image_facts import read_image_facts
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.own_labels import COLUMNS, KINDS, LABELS, OPTIONAL, PATIENT, SIDES_OR_NONE, SPLITS
from tfm.data.sources.own_patients import HEADER, NamedPatient, compile_template, refuse_unnamed_patients
from tfm.data.sources.table_images import TableImage, build_source_images, refuse_patients_in_two_splits
from tfm.data.sources.tables import (
    ROW,
    normalize_header,
    read_column_names,
    read_named_columns,
    refuse_repeated_rows,
    refuse_unknown_values,
)

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima", "")
_MEANINGS = {
    "unknown": "labels as given",
    "biopsy": "labels by biopsy",
    "BI-RADS": "labels by BI-RADS",
    "follow-up": "labels by follow-up",
}
_COLUMNS_HINT = "name the columns file, patient_id and label; side, view, split, mask and kind may be added"
_MASK_KIND = "its mask counts as that of a mass, because no column kind says what it shows"


@dataclass(frozen=True)
class _OwnImage:
    """An image with what the table or the folders say about it; the patient may still be unknown."""

    image: TableImage
    place: str  # its path in the download


class Own(Collection):
    facts = CollectionFacts(
        name="own",
        title="own images",
        labels=_MEANINGS["unknown"],
        licence="of the owner",
        citation="not published",
        split="given split",
    )
    table = "a CSV with the columns file, patient_id and label, or folders benign and malignant"

    def recognises(self, listing: Listing) -> bool:
        return bool(_find_tables(listing)) or any(_read_folders(listing.locate(file.path)) for file in listing.readable)

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        tables = _find_tables(listing)
        if len(tables) > 1:
            raise SettingsError(
                f"several tables list images: {' and '.join(map(str, tables))}",
                hint=f"move the others away, or name one: {hints.setting('csv', 'FILE')}",
                fields=("csv",),
            )
        found = list(_read_table(tables[0], listing) if tables else _list_folders(listing))
        if not found:
            raise DataError(f"no image was found in {', '.join(map(str, listing.given))}", hint=f"give {self.table}")
        rows = [one.image for one in _name_patients(found, options.patient_from)]
        notices: list[Notice] = []
        if any(row.official for row in rows):
            refuse_patients_in_two_splits(rows, tables[0].name if tables else "the folders")
        if any(outline[0] == "" for row in rows for outline in row.outlines):
            notices.append(Notice("note", "kind", _MASK_KIND))
            rows = [_take_for_mass(row) for row in rows]
        facts = replace(self.facts, labels=_MEANINGS[options.verified_by])
        used = {"patient_from": options.patient_from, "verified_by": options.verified_by}
        return (yield from build_source_images(facts, rows, listing, notices=notices, options=used))


def _find_tables(listing: Listing) -> list[Path]:
    """Return the CSVs that list images with labels; those that were named come alone."""
    needed = [set(map(normalize_header, names)) for names in COLUMNS.values()]

    def is_table(path: Path) -> bool:
        columns = set(map(normalize_header, read_column_names(path)))
        return all(columns & names for names in needed)

    tables = [path for path in listing.list_tables(".csv") if is_table(path)]
    named = [path for path in tables if path in {one.resolve() for one in listing.csv}]
    return named or tables


def _read_table(path: Path, listing: Listing) -> Iterator[_OwnImage]:
    table = read_named_columns(path, COLUMNS, {**PATIENT, **OPTIONAL}, hint=_COLUMNS_HINT)
    refuse_repeated_rows(path, table, "file")
    words: dict[str, tuple[dict[str, str], Callable[[str], str]]] = {
        "label": (LABELS, str.lower),
        "side": (SIDES_OR_NONE, str.upper),
        "kind": (KINDS, str.lower),
        "split": (SPLITS, str.lower),
    }
    for column, (known, normalise) in words.items():
        if column in table:
            table[column] = refuse_unknown_values(path, table, column, known, normalise)
    for row in table.to_dict("records"):
        file = listing.find_file(row["file"], path.parent)
        outlines: tuple[tuple[str, str, MaskCircle | FoundFile], ...] = ()
        if row.get("mask"):
            mask = listing.find_file(row["mask"], path.parent)
            if mask is None:
                raise DataError(
                    f"{path}, row {row[ROW]}: the mask {row['mask']} is not in the download",
                    hint="correct the row, or leave its mask empty",
                )
            outlines = ((row.get("kind", "").partition("+")[0], row["label"], mask),)
        image = TableImage(
            patient=row.get("patient", ""),
            file=file,
            named=row["file"],
            label=row["label"],
            side=row.get("side", ""),
            view=row.get("view", "").upper(),
            kind=row.get("kind", ""),
            official=row.get("split", ""),
            outlines=outlines,
        )
        yield _OwnImage(image, row["file"].replace("\\", "/"))


def _list_folders(listing: Listing) -> Iterator[_OwnImage]:
    for file in listing.readable:
        place = listing.locate(file.path)
        named = _read_folders(place)
        if named:
            label, split = named
            yield _OwnImage(TableImage("", file, place, label, official=split), place)


def _read_folders(place: str) -> tuple[str, str] | None:
    """Return label and split of an image by its folders; None for other files."""
    path = PurePosixPath(place)
    if not (is_plain_image(place) or is_jpeg(place) or path.suffix.lower() in _DICOM_ENDINGS):
        return None
    folders = [name.lower() for name in path.parts[:-1]]
    labels = [(number, name) for number, name in enumerate(folders) if name in ("benign", "malignant")]
    if len(labels) != 1:
        return None
    number, label = labels[0]
    return label, SPLITS.get(folders[number - 1], "") if number else ""


def _name_patients(found: Sequence[_OwnImage], way: str) -> list[_OwnImage]:
    """Complete patient, side and view in the way that the settings name. Two names of a patient must be the same."""
    if way == HEADER:
        named = [_read_header(one.image.file) for one in found]
        why = "the DICOM header names no patient"
        _refuse_contradictions(found, named, "the DICOM header")
    elif way:
        read = compile_template(way)
        matches = [read(one.place) for one in found]
        refuse_unnamed_patients(
            sum(match is None and not one.image.patient for match, one in zip(matches, found, strict=True)),
            len(found),
            next((one.place for match, one in zip(matches, found, strict=True) if match is None), ""),
            f"the file name does not match {way}",
        )
        named, why = [match or NamedPatient() for match in matches], ""
        _refuse_contradictions(found, named, "the file name")
    else:
        named, why = [NamedPatient()] * len(found), "the patient is unknown"
    completed = [
        replace(
            one,
            image=replace(
                one.image,
                patient=one.image.patient or other.patient,
                side=one.image.side or other.side,
                view=one.image.view or other.view,
            ),
        )
        for one, other in zip(found, named, strict=True)
    ]
    unknown = [one.place for one in completed if not one.image.patient]
    refuse_unnamed_patients(len(unknown), len(found), next(iter(unknown), ""), why)
    return completed


def _refuse_contradictions(found: Sequence[_OwnImage], named: Sequence[NamedPatient], where: str) -> None:
    """Refuse images whose patient has one name in the table and another in the file."""
    torn = [
        f"{one.place} ({one.image.patient} and {other.patient})"
        for one, other in zip(found, named, strict=True)
        if one.image.patient and other.patient and one.image.patient.casefold() != other.patient.casefold()
    ]
    if torn:
        raise SettingsError(
            f"the CSV and {where} name different patients for {len(torn)} of {len(found)} images, such as {torn[0]}",
            hint="correct the CSV, or leave patient_from empty: the CSV then says who the patients are",
            fields=("patient_from",),
        )


def _read_header(file: FoundFile | None) -> NamedPatient:
    if file is None:
        return NamedPatient()
    facts = read_image_facts(Path(file.path), "")
    return NamedPatient(facts.patient, facts.side, facts.view)


def _take_for_mass(row: TableImage) -> TableImage:
    if not row.outlines or row.kind:
        return row
    return replace(row, kind="mass", outlines=tuple(("mass", *outline[1:]) for outline in row.outlines))
