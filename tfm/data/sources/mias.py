"""MIAS: scanned films of the mini-MIAS database, with a circle around each abnormality."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.data.dataset.lesion_masks import MaskCircle
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.table_images import TableImage, build_source_images

_FILE = re.compile(r"mdb(\d{3})\.pgm", re.IGNORECASE)
_HEIGHT = 1024  # of every image; y is counted from below
# mdb001 G CIRC B 535 425 197. A normal image has no more than its class; where calcifications are spread over the
# breast, a note takes the place of the circle.
_LINE = re.compile(
    r"mdb(?P<number>\d{3})\s+[FGD]\s+(?:NORM|(?P<kind>CALC|CIRC|SPIC|MISC|ARCH|ASYM)\s+(?P<label>[BM])"
    r"(?:\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<radius>\d+)|\s+\*NOTE.*)?)\s*",
    re.IGNORECASE,
)
_LABELS = {"B": "benign", "M": "malignant"}
_DOWNLOAD = "put Info.txt of the mini-MIAS database beside its PGM files"
_LEFT_OUT = "normal, left out by the settings"


@dataclass(frozen=True)
class _Abnormality:
    kind: str
    label: str
    circle: MaskCircle | None


class Mias(Collection):
    facts = CollectionFacts(
        name="mias",
        title="MIAS",
        labels="labels by radiologists, malignant ones verified by biopsy",
        licence="for research, by the licence agreement of MIAS",
        citation="Suckling J. et al., The Mammographic Image Analysis Society digital mammogram database, Excerpta "
        "Medica International Congress Series 1069, 375-378 (1994)",
        pixels="0.2 mm wide, 8 bits",
    )
    table = "Info.txt, or files such as mdb001.pgm"

    def recognises(self, listing: Listing) -> bool:
        return any(_FILE.fullmatch(Path(file.path).name) for file in listing.readable) or bool(_find_tables(listing))

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        tables = _find_tables(listing)
        if not tables:
            raise DataError("the download has no Info.txt of MIAS", hint=_DOWNLOAD)
        named = [(file, _FILE.fullmatch(Path(file.path).name)) for file in listing.readable]
        files = {int(match[1]): file for file, match in named if match}
        is_out = options.without_finding == "left out"
        rows = []
        for number, found in sorted(_read_table(tables[0]).items()):
            kinds = [kind for kind in ("mass", "calc") if any(one.kind == kind for one in found)]
            circles = [(one.kind, one.label, one.circle) for one in found if one.circle]
            rows.append(
                TableImage(
                    patient=_name_patient(number),
                    file=files.get(number),
                    named=f"mdb{number:03}.pgm",
                    label="malignant" if any(one.label == "malignant" for one in found) else "benign",
                    excluded=_LEFT_OUT if is_out and not found else "",
                    side="RIGHT" if number % 2 else "LEFT",
                    view="MLO",
                    kind="+".join(kinds),
                    lesions=len(found),
                    outlines=tuple(circles) if len(circles) == len(found) else (),
                )
            )
        parts = ("normal left out" if is_out else "normal counts as benign",)
        options_used = {"without_finding": options.without_finding}
        return (yield from build_source_images(self.facts, rows, listing, options=options_used, parts=parts))


def _find_tables(listing: Listing) -> list[Path]:
    return [path for path in listing.list_tables(".txt") if path.name.lower() == "info.txt" and _is_table(path)]


def _is_table(path: Path) -> bool:
    return re.search(r"^mdb\d{3}\s", path.read_text(encoding="latin-1"), re.MULTILINE | re.IGNORECASE) is not None


def _read_table(path: Path) -> dict[int, list[_Abnormality]]:
    """Map the number of each image to its abnormalities; a normal image has none."""
    images: dict[int, list[_Abnormality]] = defaultdict(list)
    for place, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        if not line.lower().startswith("mdb"):  # an explanation of the columns
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise DataError(f"{path}, line {place} cannot be understood: {line.strip()}", hint=_DOWNLOAD)
        abnormalities = images[int(found["number"])]
        if found["kind"]:
            circle = None
            if found["radius"]:
                circle = MaskCircle(int(found["x"]), _HEIGHT - int(found["y"]), int(found["radius"]))
            # An architectural distortion or an asymmetry has no kind of its own in a mask: it counts as a mass.
            kind = "calc" if found["kind"].upper() == "CALC" else "mass"
            abnormalities.append(_Abnormality(kind, _LABELS[found["label"].upper()], circle))
    return images


def _name_patient(number: int) -> str:
    """Two consecutive films are the breasts of one patient: right (odd) and left (even)."""
    first = number - 1 + number % 2
    return f"{first:03}-{first + 1:03}"
