"""Mammograms in a folder that nothing else is known of: which of its files they are, whose, and the cache of them.

What else may speak against one of them, only the dataset beside which it is learned from can tell.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom

from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.core.file_walk import FoundFile, walk_files
from tfm.data.cache.build import FailedImages, Workers, build_cache
from tfm.data.cache.cache import Cache
from tfm.data.cache.row_maker import FailedRow
from tfm.data.download.folders import make_printable
from tfm.imaging.read_image import explain_unknown_format, has_at_most_two_values
from tfm.imaging.settings import ChainSettings

LEFT_OUT = "left_out.json"  # in a cache's folder: files that were tried in vain, and are not tried again

_CBIS_NAME = re.compile(r"(P_\d+)_(?:LEFT|RIGHT)_(?:CC|MLO)(_(?:mass_|calc_)?\d+)?")
_CBIS_UIDS = "1.3.6.1.4.1.9590."
_CUT_OUT = "a cut-out or a mask of CBIS-DDSM, as its name says"
_NOBODYS = "of CBIS-DDSM, and nothing says of which woman"
_SHOWN = 3
_MASK = "a mask: it has two values only"

Reasons = dict[str, str]  # name → why it is left out


@dataclass(frozen=True)
class UnlabelledImages:
    folder: Path
    manifest: pd.DataFrame  # image_id and file: the path below the folder; patient_id, "" if unknown; sop_uid; mask: ""
    left_out: Reasons

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def without(self, more: Reasons) -> UnlabelledImages:
        stay = ~self.manifest["image_id"].isin(more)
        return UnlabelledImages(self.folder, self.manifest[stay].reset_index(drop=True), self.left_out | more)


def find_mammograms(folder: Path) -> Generator[Event, None, UnlabelledImages]:
    """By what its files say of themselves. None is opened further than its header."""
    met = sorted(walk_files([folder], links=True), key=lambda one: one.path)
    rows: list[dict[str, str]] = []
    left_out: Reasons = {}
    for done, one in enumerate(met, 1):
        name = Path(one.path).relative_to(folder).as_posix() if Path(one.path).is_relative_to(folder) else one.path
        if Path(name).name.startswith("."):  # what macOS leaves on foreign disks
            continue
        patient, uid = _identity(one) if not one.problem else ("", "")
        reason = one.problem or _reason(name, one, patient, uid)
        if reason:
            left_out[make_printable(name)] = reason
        else:
            woman = _cbis(name, patient)
            rows.append({"image_id": name, "patient_id": woman[1] if woman else patient, "sop_uid": uid})
        yield Progress("found", done, len(met), "files")
    manifest = pd.DataFrame(rows, columns=["image_id", "patient_id", "sop_uid"], dtype=str)
    return UnlabelledImages(folder, manifest.assign(file=manifest["image_id"], mask=""), left_out)


def _cbis(name: str, patient: str) -> re.Match[str] | None:
    """TCIA gives each view and each lesion a name as a patient has it; the last one in a path is the nearest."""
    return next(iter([*_CBIS_NAME.finditer(patient), *reversed([*_CBIS_NAME.finditer(name)])]), None)


def _reason(name: str, met: FoundFile, patient: str, uid: str) -> str:
    if make_printable(name) != name:
        return "its name is no text"
    if found := _cbis(name, patient):
        return _CUT_OUT if found[2] else ""
    if uid.startswith(_CBIS_UIDS) or _CBIS_UIDS in name:  # Kaggle's copy: other pixels, so that no look would tell
        return _NOBODYS
    return explain_unknown_format(Path(met.path))


def _identity(met: FoundFile) -> tuple[str, str]:
    """PatientID and SOP instance UID of a DICOM file. What is wrong with one, its pixels will say."""
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(Exception):  # pydicom raises whatever it likes
        tags = ["PatientID", "SOPInstanceUID"]
        header = pydicom.dcmread(met.path, stop_before_pixels=True, force=True, specific_tags=[*tags])
        patient, uid = (str(header.get(tag) or "").strip("\0 ") for tag in tags)
        return patient, uid
    return "", ""


def _no_mask(pixels: np.ndarray) -> None:
    if has_at_most_two_values(pixels):
        raise DataError(_MASK, hint="leave it out")


def build_unlabelled_cache(
    home: Path, folder: Path, chain: ChainSettings, *, version: int, workers: Workers = "auto"
) -> Generator[Event, None, tuple[UnlabelledImages, Cache]]:
    """Made as a dataset's is, but that images which cannot be made are left out."""
    gathered = yield from find_mammograms(folder)
    tried = _tried_before(home, gathered, version)
    while len((films := gathered.without(tried)).manifest):
        try:
            yield from build_cache(home, films, chain, version=version, workers=workers, check=_no_mask)
        except FailedImages as refusal:
            failures = {source.image_id: failed for source, failed in refusal.failures}
            if len(failures) == len(films.manifest) or not all(map(_to_blame, failures.values())):
                raise
            tried |= {name: failed.message.removeprefix(f"{films.path(name)}: ") for name, failed in failures.items()}
            _remember(home, gathered, tried, version)
        else:
            return films, Cache.open(home)
    raise DataError(
        f"no mammogram was found below {folder}: its {len(films.left_out)} files are left out"
        + "".join(f"\n{name}: {reason}" for name, reason in list(films.left_out.items())[:_SHOWN]),
        hint="choose another folder",
    )


def _to_blame(failed: FailedRow) -> bool:
    return failed.permanent and not failed.traceback


def _tried_before(home: Path, gathered: UnlabelledImages, version: int) -> Reasons:
    """Of files that are as they were then, and by the same code."""
    if not (home / LEFT_OUT).is_file():
        return {}
    kept = files.read_json(home / LEFT_OUT)
    known = set(gathered.manifest["image_id"]) if kept["version"] == version else set()
    before = {name: one for name, one in kept["files"].items() if name in known}
    return {name: reason for name, (state, reason) in before.items() if state == _state(gathered, name)}


def _remember(home: Path, gathered: UnlabelledImages, tried: Reasons, version: int) -> None:
    kept = {name: [_state(gathered, name), reason] for name, reason in tried.items()}
    files.write_json(home / LEFT_OUT, {"version": version, "files": kept})


def _state(gathered: UnlabelledImages, name: str) -> list[int]:
    found = gathered.path(name).stat()
    return [found.st_size, found.st_mtime_ns]
