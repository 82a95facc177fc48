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

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile, walk_files
from tfm.data.download.headers import is_jpeg
from tfm.data.download.notices import Notice

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_SUBJECT_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_")
_STUDY_FOLDER = re.compile(r"^\d\d-\d\d-\d{4}-DDSM-(NA-)?\d+$")
_UID = re.compile(r"\d+(\.\d+){2,}")  # Kaggle names a JPEG's folder by its series: other pictures are none of ours
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a text begins that Windows calls Unicode
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
    """`folders` are those walked, and those of the files that a list names: nothing may ever be written there."""

    sources: tuple[Path, ...]  # as given, or the download around a folder deep inside it
    folders: tuple[Path, ...]
    images: tuple[FoundFile, ...]  # DICOM and JPEG files, by path
    tables: Tables
    notices: tuple[Notice, ...]


def scan_folders(given: Sequence[Path], csvs: Sequence[Path] = ()) -> Download:
    """Folders are walked; a text file is a list of DICOM paths. `csvs` are files or folders of tables."""
    sources = tuple(dict.fromkeys(_find_download_root(path) for path in given))
    findings = [
        Notice(
            "note",
            make_printable(str(path)),
            f"lies deep inside a download: {make_printable(str(source))} was taken whole",
        )
        for path, source in zip(given, map(_find_download_root, given), strict=True)
        if source != path.resolve()
    ]
    listed, lost = _read_lists([path for path in sources if path.is_file()])
    folders = [path for path in (*sources, *listed) if path.is_dir()]
    met = list(walk_files(folders))
    findings += [*lost, *(Notice("unreadable", make_printable(one.path), one.problem) for one in met if one.problem)]
    below = [one for one in met if not one.problem]
    named = [_met(path) for path in listed if path.is_file()]
    images = {one.path: one for one in [*filter(_is_image, below), *named]}
    if not images:
        raise DataError(
            f"no mammograms (DICOM, or Kaggle's JPEG) under {', '.join(map(str, given))}"
            + (f"; of the {len(lost)} lines listed none names a file here, {lost[0].subject} first" if lost else ""),
            hint="choose the folder NBIA Data Retriever wrote: it holds manifest-…/CBIS-DDSM/Mass-Training_P_00001_…",
        )
    tables = Tables(
        _find_named_tables(csvs),
        tuple(Path(one.path) for one in below if _is_csv(one.path)),
        _find_tables_around(sources),
    )
    written_by_others = (*folders, *dict.fromkeys(Path(one.path).parent for one in named))
    in_order = tuple(images[path] for path in sorted(images))
    return Download(sources, written_by_others, in_order, tables, tuple(findings))


def find_implicit_inputs(given: Sequence[Path], csvs: Sequence[Path]) -> list[Path]:
    """What a survey reads of places that nobody named: the download around a folder, listed files, tables around."""
    sources = [_find_download_root(path) for path in given]
    widened = [source for source, path in zip(sources, given, strict=True) if source != path.resolve()]
    listed, _ = _read_lists([path for path in sources if path.is_file()])
    around = () if csvs else _find_tables_around(sources)
    return [*widened, *listed, *around]


def refuse_nested_folders(place: Path, downloads: Iterable[Path]) -> None:
    """Nothing is ever written below a download, nor one taken from where things are written."""
    inner = place.resolve()
    for download in (path.resolve() for path in downloads):
        if inner.is_relative_to(download) or download.is_relative_to(inner):
            raise DataError(
                f"{place}, which is to be written, and the download {download} lie one in the other",
                hint=f"choose a workspace outside the download: {hints.setting('workspace', 'FOLDER')}",
            )


def make_printable(path: str) -> str:
    """A path as text that any file and screen can hold."""
    return os.fsencode(path).decode("utf-8", "replace")


def describe_layouts(paths: Iterable[str]) -> list[str]:
    """In words, the most frequent first."""
    counts = Counter(map(_identify_layout, {Path(path).parent: path for path in paths}.values()))
    return [f"{count} × {name}" if len(counts) > 1 else name for name, count in counts.most_common()]


def _identify_layout(path: str) -> str:
    above, study, series = ("", "", "", *Path(path).parts)[-4:-1]
    if is_jpeg(path):
        return "Kaggle's JPEG"
    if _UID.fullmatch(study) and _UID.fullmatch(series):
        return "NBIA's classic folders" if _SUBJECT_FOLDER.match(above) else "folders by UID"
    if _STUDY_FOLDER.search(study):
        return "NBIA's folders"
    return "folders of another kind"


def _is_image(met: FoundFile) -> bool:
    folder, name = os.path.split(met.path)
    if name.startswith("."):  # what macOS leaves on foreign disks
        return False
    return name.lower().endswith(_DICOM_ENDINGS) or (is_jpeg(name) and _UID.fullmatch(Path(folder).name) is not None)


def _find_download_root(path: Path) -> Path:
    """One patient's folder, or one below it, means the download it lies in."""
    path = path.resolve()
    inside = [place for place in (path, *path.parents) if _SUBJECT_FOLDER.match(place.name)]
    return inside[-1].parent if inside and path.is_dir() else path


def _read_lists(lists: Sequence[Path]) -> tuple[list[Path], list[Notice]]:
    """The files and folders that the lists name, and the lines that name nothing here."""
    found, lost = [], []
    for path in lists:
        for line in filter(None, (line.strip().strip("\"'") for line in _read_lines(path))):
            file = path.parent / Path(line.replace("\\", "/")).expanduser()
            try:
                found.append(file.resolve(strict=True))
            except (OSError, ValueError, RuntimeError) as error:  # characters that no path has, a loop of links
                why = getattr(error, "strerror", None) or "no path"
                lost.append(Notice("missing", line, f"listed in {path.name}, and cannot be found: {why}"))
    return found, lost


def _read_lines(path: Path) -> list[str]:
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is neither a folder nor a list of files",
            hint="give the download's folder, or a text file with the path of one DICOM file a line",
        ) from None


def _met(path: Path) -> FoundFile:
    facts = path.stat()
    return FoundFile(str(path), facts.st_size, facts.st_mtime_ns)


def _find_named_tables(csvs: Sequence[Path]) -> tuple[Path, ...]:
    below = (Path(one.path) for one in walk_files(path for path in csvs if path.is_dir()) if _is_csv(one.path))
    return (*below, *(path.resolve() for path in csvs if path.is_file()))


def _find_tables_around(sources: Sequence[Path]) -> tuple[Path, ...]:
    """A person who chose CBIS-DDSM/ or jpeg/ has the tables a few folders higher, or in csv/ beside it."""
    above = dict.fromkeys(folder for source in sources for folder in list(source.parents)[:_LEVELS_ABOVE])
    places = [place for folder in above for place in (folder, folder / "csv")]
    return tuple(path for place in places if place.is_dir() for path in _list_files(place) if _is_csv(path.name))


def _list_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _is_csv(path: str) -> bool:
    return path.lower().endswith(".csv") and not Path(path).name.startswith(".")
