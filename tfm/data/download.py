"""What lies in the folders a person names: images and tables, in whatever layout. Nothing is opened but lists of files.

One folder too deep or too high is understood; what the images and tables say is for headers, tables and collection.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfm.core.errors import DataError
from tfm.core.walk import Met, walk
from tfm.data.findings import Finding

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_JPEG_ENDINGS = (".jpg", ".jpeg")
_SUBJECT_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_")
_STUDY_FOLDER = re.compile(r"^\d\d-\d\d-\d{4}-DDSM-(NA-)?\d+$")
_UID = re.compile(r"\d+(\.\d+){2,}")  # Kaggle names a JPEG's folder by its series: other pictures are none of ours
_LEVELS_ABOVE = 3  # how far above a folder its tables may lie: CBIS-DDSM, manifest-…, the download


@dataclass(frozen=True)
class Tables:
    """Every CSV that a person named, that lies below the sources, and that lies in the folders around them."""

    given: tuple[Path, ...]
    below: tuple[Path, ...]
    around: tuple[Path, ...]

    def which(self, is_meant: Callable[[Path], bool]) -> list[Path]:
        """Those of one sort, from the nearest place that has any."""
        for place in (self.given, self.below, self.around):
            found = sorted(path for path in place if is_meant(path))
            if found:
                return found
        return []


@dataclass(frozen=True)
class Download:
    sources: tuple[Path, ...]  # what is walked: as given, or the download around a folder deep inside it
    images: tuple[Met, ...]  # DICOM and JPEG files, by path
    tables: Tables
    findings: tuple[Finding, ...]


def survey(given: Sequence[Path], csvs: Sequence[Path] = ()) -> Download:
    """Folders are walked; a text file is a list of DICOM paths. `csvs` are files or folders of tables."""
    sources = tuple(dict.fromkeys(_around(path) for path in given))
    findings = [
        Finding("note", str(path), f"lies deep inside a download: {source} was taken whole")
        for path, source in zip(given, map(_around, given), strict=True)
        if source != path.resolve()
    ]
    folders, lists = [path for path in sources if path.is_dir()], [path for path in sources if path.is_file()]
    met = list(walk(folders))
    findings += [Finding("unreadable", shown(one.path), one.trouble) for one in met if one.trouble]
    listed, lost = _listed(lists)
    findings += lost
    below = [one for one in met if not one.trouble]
    images = {one.path: one for one in [*filter(_is_image, below), *listed]}
    if not images:
        raise DataError(
            f"no mammograms (DICOM, or Kaggle's JPEG) under {', '.join(map(str, given))}",
            hint="choose the folder NBIA Data Retriever wrote: it holds manifest-…/CBIS-DDSM/Mass-Training_P_00001_…",
        )
    tables = Tables(_given(csvs), tuple(Path(one.path) for one in below if _is_csv(one.path)), _around_tables(sources))
    return Download(sources, tuple(images[path] for path in sorted(images)), tables, tuple(findings))


def shown(path: str) -> str:
    """A path as text that any file and screen can hold."""
    return os.fsencode(path).decode("utf-8", "replace")


def layouts(paths: Iterable[str]) -> list[str]:
    """In words, the most frequent first."""
    counts = Counter(map(_layout, {Path(path).parent: path for path in paths}.values()))
    return [f"{count} × {name}" if len(counts) > 1 else name for name, count in counts.most_common()]


def _layout(path: str) -> str:
    above, study, series = ("", "", "", *Path(path).parts)[-4:-1]
    if is_jpeg(path):
        return "Kaggle's JPEG"
    if _UID.fullmatch(study) and _UID.fullmatch(series):
        return "NBIA's classic folders" if _SUBJECT_FOLDER.match(above) else "folders by UID"
    if _STUDY_FOLDER.search(study):
        return "NBIA's folders"
    return "folders of another kind"


def is_jpeg(path: str) -> bool:
    return path.lower().endswith(_JPEG_ENDINGS)


def _is_image(met: Met) -> bool:
    folder, name = os.path.split(met.path)
    if name.startswith("."):  # what macOS leaves on foreign disks
        return False
    return name.lower().endswith(_DICOM_ENDINGS) or (is_jpeg(name) and _UID.fullmatch(Path(folder).name) is not None)


def _around(path: Path) -> Path:
    """One patient's folder, or one below it, means the download it lies in."""
    path = path.resolve()
    inside = [place for place in (path, *path.parents) if _SUBJECT_FOLDER.match(place.name)]
    return inside[-1].parent if inside and path.is_dir() else path


def _listed(lists: Sequence[Path]) -> tuple[list[Met], list[Finding]]:
    met, lost = [], []
    for path in lists:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise DataError(
                f"{path} is neither a folder nor a list of files",
                hint="give the download's folder, or a text file with the path of one DICOM file a line",
            ) from None
        for line in filter(None, map(str.strip, lines)):
            file = path.parent / Path(line.replace("\\", "/")).expanduser()
            try:
                facts = file.stat()
                met.append(Met(str(file.resolve()), facts.st_size, facts.st_mtime_ns))
            except OSError as error:
                lost.append(Finding("missing", line, f"listed in {path.name}, and cannot be found: {error.strerror}"))
    return met, lost


def _given(csvs: Sequence[Path]) -> tuple[Path, ...]:
    below = (Path(one.path) for one in walk(path for path in csvs if path.is_dir()) if _is_csv(one.path))
    return (*below, *(path.resolve() for path in csvs if path.is_file()))


def _around_tables(sources: Sequence[Path]) -> tuple[Path, ...]:
    """A person who chose CBIS-DDSM/ or jpeg/ has the tables a few folders higher, or in csv/ beside it."""
    above = dict.fromkeys(folder for source in sources for folder in list(source.parents)[:_LEVELS_ABOVE])
    places = [place for folder in above for place in (folder, folder / "csv")]
    return tuple(path for place in places if place.is_dir() for path in _readable(place) if _is_csv(path.name))


def _readable(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _is_csv(path: str) -> bool:
    return path.lower().endswith(".csv") and not Path(path).name.startswith(".")
