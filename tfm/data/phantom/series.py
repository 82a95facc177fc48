"""One mammogram's series: their UIDs, folders, files and, when asked, the bytes.
A pure function of the mammogram; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np

from tfm.data.phantom.dicom import STUDY_DATE, Header, encode, uid_at
from tfm.data.phantom.film import Phantom, draw
from tfm.data.phantom.spec import Finding, Mammogram

FULL, MASK, CROP = "full mammogram images", "ROI mask images", "cropped images"
NBIA_DATE = f"{STUDY_DATE[4:6]}-{STUDY_DATE[6:]}-{STUDY_DATE[:4]}"
_MARGIN = 35 / 4000  # a crop's margin around its lesion, in shares of the height


@dataclass(frozen=True)
class Series:
    subject: str
    study: str
    uid: str
    description: str
    names: tuple[str, ...]  # of the files
    absent: bool

    @property
    def folder(self) -> PurePosixPath:
        """Below the folder that holds metadata.csv, as NBIA Data Retriever names it."""
        study = f"{NBIA_DATE}-DDSM-NA-{self.study[-5:]}"
        return PurePosixPath("CBIS-DDSM", self.subject, study, f"1.000000-{self.description}-{self.uid[-5:]}")

    @property
    def files(self) -> list[PurePosixPath]:
        return [self.folder / name for name in self.names]


def _address(m: Mammogram, subject: str) -> tuple[str, ...]:
    """Downloads that differ in pixels differ in UIDs."""
    return ("phantom uid", repr(m.exposure), subject)


def _series(m: Mammogram, subject: str, description: str, names: tuple[str, ...], absent: bool) -> Series:
    address = _address(m, subject)
    return Series(subject, uid_at(*address, "study"), uid_at(*address, "series"), description, names, absent)


def full_series(m: Mammogram) -> Series:
    return _series(m, m.subject, FULL, ("1-1.dcm",), m.absent)


def lesion_series(m: Mammogram, finding: Finding) -> Series:
    return _series(m, m.lesion_subject(finding), MASK, ("1-1.dcm", "1-2.dcm"), finding.absent)


def all_series(m: Mammogram) -> list[Series]:
    return [full_series(m), *(lesion_series(m, finding) for finding in m.findings)]


def crop_and_mask_names(finding: Finding) -> tuple[str, str]:
    return ("1-2.dcm", "1-1.dcm") if finding.mask_first else ("1-1.dcm", "1-2.dcm")


def contents(m: Mammogram) -> dict[PurePosixPath, bytes]:
    """Every file of a mammogram, whole, those too that are to be missing or cut."""
    phantom = draw(m.exposure)
    full = full_series(m)
    files = {full.files[0]: _encoded(m, full, FULL, phantom.image)}
    for finding in m.findings:
        series = lesion_series(m, finding)
        crop, mask = crop_and_mask_names(finding)
        files[series.folder / crop] = _encoded(m, series, CROP, _crop(phantom, finding))
        files[series.folder / mask] = _encoded(m, series, MASK, _mask(phantom, finding))
    return files


def _encoded(m: Mammogram, series: Series, description: str, pixels: np.ndarray) -> bytes:
    instance = uid_at(*_address(m, series.subject), description)
    header = Header(series.subject, series.study, series.uid, instance, description, m.exposure.side, m.exposure.view)
    return encode(header, pixels)


def _mask(phantom: Phantom, finding: Finding) -> np.ndarray:  # (H, W) uint8, 0 and 255
    mask = phantom.lesion_masks[finding.lesion].astype(np.uint8) * 255
    if finding.mask_scale == 1:
        return mask
    height, width = (round(side * finding.mask_scale) for side in mask.shape)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))


def _crop(phantom: Phantom, finding: Finding) -> np.ndarray:  # (h, w) uint16, stretched to 65535
    height = phantom.image.shape[0]
    margin = max(2, round(_MARGIN * height))
    x, y, w, h = cv2.boundingRect(phantom.lesion_masks[finding.lesion].astype(np.uint8))
    crop = phantom.image[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
    return np.round(crop.astype(np.float64) * (65535 / max(int(crop.max()), 1))).astype(np.uint16)
