"""Find unlabelled mammograms in a folder, and build their cache.
The caller excludes images that conflict with a dataset (its validation or test patients)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.core.file_walk import FoundFile, walk_files
from tfm.data.cache.build import Workers
from tfm.data.cache.cache import Cache
from tfm.data.cache.left_out import Reasons, build_cache_without_bad_images
from tfm.data.cbis_name import CbisName, find_cbis_names
from tfm.data.download.find_files import make_printable
from tfm.data.patient_id import find_patient_ids
from tfm.imaging.dicom_header import open_dicom, read_dicom_header
from tfm.imaging.read_image import explain_unknown_format, has_at_most_two_values
from tfm.imaging.settings import ChainSettings

_CBIS_UIDS = "1.3.6.1.4.1.9590."


@dataclass(frozen=True)
class UnlabelledImages:
    folder: Path
    manifest: pd.DataFrame  # image_id and file: path below the folder; patient_id: "" if unknown; sop_uid; mask: ""
    left_out: Reasons

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def exclude(self, names: Collection[str]) -> UnlabelledImages:
        return replace(self, manifest=self.manifest[~self.manifest["image_id"].isin(names)].reset_index(drop=True))

    def leave_out(self, more: Reasons) -> UnlabelledImages:
        return replace(self.exclude(more), left_out=self.left_out | more)


def find_mammograms(folder: Path) -> Generator[Event, None, UnlabelledImages]:
    """Choose files by name and header; no pixels are read."""
    files_found = sorted(walk_files([folder], links=True), key=lambda one: one.path)
    rows: list[dict[str, str]] = []
    left_out: Reasons = {}
    for done, one in enumerate(files_found, 1):
        name = Path(one.path).relative_to(folder).as_posix() if Path(one.path).is_relative_to(folder) else one.path
        if Path(name).name.startswith("."):  # macOS writes such files to other disks
            continue
        patient, uid = _read_identity(one) if not one.problem else ("", "")
        reason = one.problem or _explain_exclusion(name, one, patient, uid)
        if reason:
            left_out[make_printable(name)] = reason
        else:
            named = find_patients_named(folder, name, patient) or [patient]
            rows.append({"image_id": name, "patient_id": named[-1], "sop_uid": uid})
        yield Progress("found", done, len(files_found), "files")
    manifest = pd.DataFrame(rows, columns=["image_id", "patient_id", "sop_uid"], dtype=str)
    return UnlabelledImages(folder, manifest.assign(file=manifest["image_id"], mask=""), left_out)


def find_patients_named(folder: Path, image_id: str, patient_id: str) -> list[str]:
    """Return the patients that a file's path and PatientID name, in one spelling. The last one is its patient."""
    return find_patient_ids(f"{folder.name}/{image_id}/{patient_id}")


def _find_cbis_name(name: str, patient: str) -> CbisName | None:
    """TCIA's PatientID names a view or lesion; without one, the last such name in the path counts."""
    return next(iter([*find_cbis_names(patient), *reversed(find_cbis_names(name))]), None)


def _explain_exclusion(name: str, file: FoundFile, patient: str, uid: str) -> str:
    if make_printable(name) != name:
        return "its name cannot be printed"
    if found := _find_cbis_name(name, patient):
        return "a crop or a mask of CBIS-DDSM, by its name" if found.lesion else ""
    if uid.startswith(_CBIS_UIDS) or _CBIS_UIDS in name:  # Kaggle's copy has other pixels, so they cannot be compared
        return "from CBIS-DDSM, of an unknown patient"
    return explain_unknown_format(Path(file.path))


def _read_identity(file: FoundFile) -> tuple[str, str]:
    """Read PatientID and SOP instance UID of a DICOM file; "" if unreadable. Decoding it later reports any damage."""
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(Exception):  # pydicom raises many types
        tags = ["PatientID", "SOPInstanceUID"]
        with open(file.path, "rb") as stream:
            header = read_dicom_header(open_dicom(stream), tags)
        patient, uid = (str(header.get(tag) or "").strip("\0 ") for tag in tags)
        return patient, uid
    return "", ""


def refuse_mask(pixels: np.ndarray) -> None:
    if has_at_most_two_values(pixels):
        raise DataError("a mask: it has only two grey values", hint="leave it out")


def build_unlabelled_cache(
    home: Path, folder: Path, chain: ChainSettings, *, version: int, workers: Workers = "auto"
) -> Generator[Event, None, tuple[UnlabelledImages, Cache]]:
    """Build the cache like that of a dataset, but leave out images that cannot be preprocessed."""
    found = yield from find_mammograms(folder)
    if not len(found.manifest):
        raise DataError(
            f"no mammogram was found below {folder}; {len(found.left_out)} files are left out"
            + "".join(f"\n{name}: {reason}" for name, reason in list(found.left_out.items())[:3]),
            hint="choose another folder",
        )
    failed = yield from build_cache_without_bad_images(
        home, found, chain, version=version, workers=workers, check=refuse_mask
    )
    return found.leave_out(failed), Cache.open(home)
