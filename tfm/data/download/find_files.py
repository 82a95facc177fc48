"""Find the images and tables in the folders of a download, in any layout.
Only text files that list other files are opened. Image headers and tables are read elsewhere."""

from __future__ import annotations

import contextlib
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
_UID = re.compile(r"\d+(\.\d+){2,}")  # Kaggle names a JPEG's folder by its series UID; other JPEG files are ignored
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


@dataclass(frozen=True)
class Tables:
    """The CSVs that were named, those inside the sources, and those in the folders around the sources."""

    given: tuple[Path, ...]
    below: tuple[Path, ...]
    around: tuple[Path, ...]

    def select(self, is_wanted: Callable[[Path], bool]) -> list[Path]:
        """Return the wanted tables of the nearest place that has any."""
        for place in (self.given, self.below, self.around):
            found = sorted(path for path in place if is_wanted(path))
            if found:
                return found
        return []


@dataclass(frozen=True)
class Download:
    sources: tuple[Path, ...]  # as given, or the download that contains a given subfolder
    folders: tuple[Path, ...]  # scanned folders and the folders of listed files: never write there
    images: tuple[FoundFile, ...]  # DICOM and JPEG files, by path
    tables: Tables
    notices: tuple[Notice, ...]


def scan_folders(given: Sequence[Path], csvs: Sequence[Path] = ()) -> Download:
    """Find the images and tables of a download.

    Args:
        given: Folders, which are scanned, and text files, which list the paths of DICOM files.
        csvs: Files or folders with tables.
    """
    roots = {path: _find_download_root(path) for path in given}
    sources = tuple(dict.fromkeys(roots.values()))
    notices = [
        Notice("note", make_printable(str(path)), f"is part of a download: all of {make_printable(str(root))} is used")
        for path, root in roots.items()
        if root != path.resolve()
    ]
    listed, lost = _read_lists([path for path in sources if path.is_file()])
    folders = [path for path in (*sources, *listed) if path.is_dir()]
    found = list(walk_files(folders))
    notices += [*lost, *(Notice("unreadable", make_printable(one.path), one.problem) for one in found if one.problem)]
    readable = [file for file in found if not file.problem]
    statuses = [(path, path.stat()) for path in listed if path.is_file()]
    named = [FoundFile(str(path), status.st_size, status.st_mtime_ns) for path, status in statuses]
    images = {file.path: file for file in [*filter(_is_image, readable), *named]}
    if not images:
        raise DataError(
            f"no mammograms (DICOM, or Kaggle's JPEG) under {', '.join(map(str, given))}"
            + (f"; none of the {len(lost)} listed files exists, for example {lost[0].subject}" if lost else ""),
            hint="choose the folder NBIA Data Retriever wrote: it holds manifest-…/CBIS-DDSM/Mass-Training_P_00001_…",
        )
    in_csvs = [Path(file.path) for file in walk_files(path for path in csvs if path.is_dir()) if _is_csv(file.path)]
    return Download(
        sources,
        (*folders, *dict.fromkeys(Path(file.path).parent for file in named)),
        tuple(images[path] for path in sorted(images)),
        Tables(
            given=(*in_csvs, *(path.resolve() for path in csvs if path.is_file())),
            below=tuple(Path(file.path) for file in readable if _is_csv(file.path)),
            around=find_tables_around(sources),
        ),
        tuple(notices),
    )


def find_sources(given: Sequence[Path]) -> tuple[Path, ...]:
    """Return the given paths, or the download that contains a given subfolder."""
    return tuple(dict.fromkeys(map(_find_download_root, given)))


def find_implicit_inputs(given: Sequence[Path], csvs: Sequence[Path]) -> list[Path]:
    """List the other paths that a scan reads: a whole download, listed files, tables in other folders."""
    sources = [_find_download_root(path) for path in given]
    widened = [source for source, path in zip(sources, given, strict=True) if source != path.resolve()]
    listed, _ = _read_lists([path for path in sources if path.is_file()])
    around = () if csvs else find_tables_around(sources)
    return [*widened, *listed, *around]


def refuse_nested_folders(place: Path, downloads: Iterable[Path]) -> None:
    """Refuse to write to `place` if it is inside a download or contains one."""
    inner = place.resolve()
    for download in (path.resolve() for path in downloads):
        if inner.is_relative_to(download) or download.is_relative_to(inner):
            raise DataError(
                f"the output folder {place} and the download {download} are nested",
                hint=f"choose a workspace outside the download: {hints.setting('workspace', 'FOLDER')}",
            )


def make_printable(path: str) -> str:
    """Replace the characters of a path that UTF-8 cannot encode."""
    return os.fsencode(path).decode("utf-8", "replace")


def describe_layouts(paths: Iterable[str]) -> list[str]:
    """Name the layouts of the files, the most frequent first."""
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


def _is_image(file: FoundFile) -> bool:
    folder, name = os.path.split(file.path)
    if name.startswith("."):  # macOS leaves such files on external disks
        return False
    return name.lower().endswith(_DICOM_ENDINGS) or (is_jpeg(name) and _UID.fullmatch(Path(folder).name) is not None)


def _find_download_root(path: Path) -> Path:
    """Return the download that contains a patient's folder or a folder inside one."""
    path = path.resolve()
    inside = [place for place in (path, *path.parents) if _SUBJECT_FOLDER.match(place.name)]
    return inside[-1].parent if inside and path.is_dir() else path


def _read_lists(lists: Sequence[Path]) -> tuple[list[Path], list[Notice]]:
    """Return the files and folders named in the lists, and a notice for each line that names none."""
    found, lost = [], []
    for path in lists:
        for line in filter(None, (line.strip().strip("\"'") for line in _read_lines(path))):
            file = path.parent / Path(line.replace("\\", "/")).expanduser()
            try:
                found.append(file.resolve(strict=True))
            except (OSError, ValueError, RuntimeError) as error:  # invalid characters, a loop of links
                why = getattr(error, "strerror", None) or "not a valid path"
                lost.append(Notice("missing", line, f"is listed in {path.name} but was not found: {why}"))
    return found, lost


def _read_lines(path: Path) -> list[str]:
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is neither a folder nor a list of files",
            hint="give the download's folder, or a text file with the path of one DICOM file per line",
        ) from None


def find_tables_around(sources: Sequence[Path]) -> tuple[Path, ...]:
    """Find tables in the folders above the sources and in their csv/: people often choose CBIS-DDSM/ or jpeg/."""
    # Three levels: CBIS-DDSM, manifest-…, the download.
    above = dict.fromkeys(folder for source in sources for folder in list(source.parents)[:3])
    found: list[Path] = []
    for place in (place for folder in above for place in (folder, folder / "csv")):
        with contextlib.suppress(OSError):
            found += [path for path in place.iterdir() if path.is_file() and _is_csv(path.name)]
    return tuple(found)


def _is_csv(path: str) -> bool:
    return path.lower().endswith(".csv") and not Path(path).name.startswith(".")
