"""Read the index of the Imaging Data Commons, which the package idc-index-data brings: one row a series.
Which series are wanted is decided in selection; files are fetched in fetch."""

from __future__ import annotations

import html
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfm.core.errors import DataError

COLLECTIONS = {"cbis-ddsm": "CBIS-DDSM", "cmmd": "CMMD"}  # our name → NBIA's
_PACKAGE = "idc_index_data"
_INSTALL = "python -m pip install --upgrade idc-index-data"
_BATCH = 65536  # rows
_COLUMNS = (
    *("collection_id", "PatientID", "SeriesInstanceUID", "StudyInstanceUID", "StudyDate", "SeriesDescription"),
    *("SeriesNumber", "Modality", "SOPClassUID", "sop_class_name", "instanceCount", "series_size_MB"),
    *("aws_bucket", "crdc_series_uuid"),
)
_OLD_NAME = re.compile(r"(P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d+)?)\.dcm")


@dataclass(frozen=True, slots=True)
class Series:
    """A series as the index promises it, with the names that NBIA gives it."""

    uid: str
    study: str
    subject: str  # NBIA's PatientID: at CBIS-DDSM it names one view or one lesion
    date: str  # of the study, YYYY-MM-DD, or ""
    description: str  # or ""
    number: int
    modality: str
    sop_class: str  # UID
    sop_class_name: str
    files: int
    size: int  # bytes, of all files
    bucket: str
    key: str  # folder in the bucket

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/{self.key}/"


@dataclass(frozen=True)
class Source:
    """What has to be said about a collection wherever it is used."""

    title: str
    citation: str
    licence: str
    licence_url: str
    url: str
    index: str  # its version


def find_index() -> Path:
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise DataError("the index of the Imaging Data Commons is not installed", hint=f"install it: {_INSTALL}")
    index = Path(package.origin).with_name("idc_index.parquet")
    if not index.is_file():
        raise DataError(f"{index} is missing", hint=f"install it again: {_INSTALL} --force-reinstall")
    return index


def read_series(index: Path, collection: str) -> list[Series]:
    """Read the series of a collection, in the order of the index."""
    wanted = collection.replace("-", "_")
    try:
        rows = [row for batch in _read_batches(index, wanted) for row in batch.to_pylist()]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{index} cannot be read: {error}", hint=f"install it again: {_INSTALL}") from None
    if not rows:
        raise DataError(f"the index {index} has no collection {wanted}", hint=f"install a newer index: {_INSTALL}")
    return [_build_series(row) for row in rows]


def _read_batches(index: Path, collection: str) -> Iterator[pa.RecordBatch]:
    """Decode only the rows up to the last one of the collection: the whole index takes several times as long."""
    names = pq.ParquetFile(index, read_dictionary=["collection_id"]).read(["collection_id"]).column(0)
    places = pc.indices_nonzero(pc.equal(names.cast(pa.string()), collection))
    last = places[-1].as_py() if len(places) else -1
    read = 0
    for batch in pq.ParquetFile(index).iter_batches(_BATCH, columns=list(_COLUMNS)):
        if read > last:
            return
        read += len(batch)
        yield batch.filter(pc.equal(batch.column("collection_id"), collection))


def _build_series(row: dict[str, Any]) -> Series:
    subject, description, files = row["PatientID"], row["SeriesDescription"] or "", row["instanceCount"]
    if row["collection_id"] == "cbis_ddsm":
        # The index takes both from the headers. NBIA corrected the names of 396 series, all of the calcification test
        # set, and names a series of two files after the mask.
        old = _OLD_NAME.fullmatch(subject)
        subject = f"Calc-Test_{old[1]}" if old else subject
        description = "ROI mask images" if files == 2 else description or "full mammogram images"
    return Series(
        uid=row["SeriesInstanceUID"],
        study=row["StudyInstanceUID"],
        subject=subject,
        date=str(row["StudyDate"] or ""),
        description=description,
        number=int(row["SeriesNumber"] or 0),
        modality=row["Modality"] or "",
        sop_class=row["SOPClassUID"] or "",
        sop_class_name=row["sop_class_name"] or "",
        files=files,
        size=round(row["series_size_MB"] * 1e6),
        bucket=row["aws_bucket"],
        key=row["crdc_series_uuid"],
    )


def read_source(index: Path, collection: str) -> Source:
    """Read the citation and the licence of a collection from the table beside the index."""
    table = index.with_name("collections_index.parquet")
    rows = pq.read_table(table, filters=[("collection_id", "=", collection.replace("-", "_"))]).to_pylist()
    source = next((one for row in rows for one in row["sources"] if one["source_type"] == "original_data"), None)
    if source is None:
        raise DataError(f"{table} has no collection {collection}", hint=f"install a newer index: {_INSTALL}")
    version = (pq.read_schema(index).metadata or {}).get(b"idc_index_data_version", b"unknown").decode()
    return Source(
        title=source["source_title"],
        citation=" ".join(re.sub(r"<[^>]+>", "", html.unescape(source["citation"])).split()),
        licence=source["license"]["license_long_name"],
        licence_url=source["license"]["license_url"],
        url=source["source_url"],
        index=version,
    )
