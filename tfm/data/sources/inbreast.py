"""INbreast: digital mammograms with BI-RADS by radiologists. The patient is the hash in a file's name."""

from __future__ import annotations

import re
from collections.abc import Generator, Hashable
from pathlib import Path
from typing import Any

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.core.file_walk import FoundFile
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.download.notices import Notice
from tfm.data.sources.birads import UNCLEAR, label_birads, parse_density
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.table_images import SIDES, TableImage, build_source_images
from tfm.data.sources.tables import ROW, read_named_columns, refuse_repeated_rows, refuse_unknown_values

_FILE = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON\.dcm", re.IGNORECASE)
_SPREADSHEET = re.compile(r"inbreast\.(xlsx?|csv)", re.IGNORECASE)
_COLUMNS = {"side": ("Laterality",), "view": ("View",), "file": ("File Name",), "birads": ("Bi-Rads",)}
_OPTIONAL = {"density": ("ACR",), "mass": ("Mass",), "calc": ("Micros",)}
_DOWNLOAD = "put INbreast.xls of the INbreast download beside its folder AllDICOMs"


class INbreast(Collection):
    facts = CollectionFacts(
        name="inbreast",
        title="INbreast",
        labels="labels by BI-RADS of radiologists: 1-2 against 4-6",
        licence="for research, by agreement with Breast Research Group, INESC Porto",
        citation="Moreira I. C. et al., INbreast: toward a full-field digital mammographic database, Academic "
        "Radiology 19, 236-248 (2012), doi:10.1016/j.acra.2011.09.014",
    )
    table = "INbreast.xls, or files such as 20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm"

    def recognises(self, listing: Listing) -> bool:
        names = [Path(file.path).name for file in listing.readable]
        return any(_FILE.fullmatch(name) or _SPREADSHEET.fullmatch(name) for name in names)

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        tables = [path for path in listing.list_tables(".xls", ".xlsx", ".csv") if _SPREADSHEET.fullmatch(path.name)]
        if not tables:
            raise DataError("the download has no spreadsheet of INbreast", hint=_DOWNLOAD)
        table = read_named_columns(tables[0], _COLUMNS, _OPTIONAL, hint=_DOWNLOAD)
        table["file"] = table["file"].str.removesuffix(".0")  # a number in the spreadsheet
        table = table[table["file"].str.fullmatch(r"\d+")].reset_index(drop=True)  # below the images are mean values
        refuse_repeated_rows(tables[0], table, "file")
        table["side"] = refuse_unknown_values(tables[0], table, "side", SIDES, str.upper)
        named = [(file, _FILE.fullmatch(Path(file.path).name)) for file in listing.readable]
        files = {match[1]: (file, match) for file, match in named if match}
        rows = [_read_row(tables[0], row, *files.get(row["file"], (None, None))) for row in table.to_dict("records")]
        unclaimed = sorted(files.keys() - set(table["file"]))
        notices = [Notice("unclaimed", name, "is not in the spreadsheet") for name in unclaimed]
        return (yield from build_source_images(self.facts, rows, listing, notices=notices, parts=(UNCLEAR,)))


def _read_row(path: Path, row: dict[Hashable, Any], file: FoundFile | None, named: re.Match[str] | None) -> TableImage:
    label, assessment, excluded = label_birads(path, row[ROW], row["birads"])
    kinds = [kind for kind in ("mass", "calc") if row.get(kind)]
    return TableImage(
        patient=named[2].lower() if named else f"of-{row['file']}",
        file=file,
        named=row["file"],
        label=label,
        excluded=excluded,
        side=row["side"],
        view=row["view"].upper(),
        kind="+".join(kinds),
        density=parse_density(row.get("density", "")),
        assessment=assessment,
        lesions=len(kinds),
    )
