"""Build the series of a mammogram: UIDs, files and, on demand, their contents.
Everything depends on the mammogram alone. File paths are in layouts; files are written in writer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from pydicom.dataset import FileDataset

from tfm.data.phantom.dicom import Header, build_dataset, make_uid
from tfm.data.phantom.download_plan import Finding, Mammogram
from tfm.data.phantom.mammogram import Phantom, draw_mammogram

FULL, MASK, CROP = "full mammogram images", "ROI mask images", "cropped images"

Damage = Literal["", "cut", "zeros"]


@dataclass(frozen=True)
class Instance:
    """A file of a series."""

    number: int  # in its series, from 1
    uid: str
    description: str
    damage: Damage = ""


@dataclass(frozen=True)
class Series:
    subject: str
    study: str
    uid: str
    description: str
    instances: tuple[Instance, ...]
    absent: bool = False
    twice: bool = False


def _make_address(m: Mammogram, subject: str) -> tuple[str, ...]:
    return ("phantom uid", repr(m.exposure), subject)  # other pixels, other UIDs


def build_full_series(m: Mammogram) -> Series:
    address = _make_address(m, m.subject)
    film = Instance(1, make_uid(*address, FULL), FULL, "cut" if m.truncated else "")
    return Series(
        *(m.subject, make_uid(*address, "study"), make_uid(*address, "series"), FULL, (film,)),
        absent=m.absent,
        twice=m.twice_on_disk,
    )


def build_lesion_series(m: Mammogram, finding: Finding) -> list[Series]:
    """Build the series of crop and mask: one series named after the mask, or two series in two studies."""
    subject = m.format_lesion_subject(finding)
    address = _make_address(m, subject)
    damage: Damage = "zeros" if finding.mask_unreadable else ""

    def build(description: str, contents: tuple[str, ...], *own: str) -> Series:
        instances = tuple(
            Instance(number, make_uid(*address, what), what, damage if what == MASK else "")
            for number, what in enumerate(contents, start=1)
        )
        study, uid = make_uid(*address, "study", *own), make_uid(*address, "series", *own)
        return Series(subject, study, uid, description, instances, finding.absent)

    if finding.separate:
        return [build(CROP, (CROP,), CROP), build(MASK, (MASK,), MASK)]
    return [build(MASK, (MASK, CROP) if finding.mask_first else (CROP, MASK))]


def build_all_series(m: Mammogram) -> list[Series]:
    return [build_full_series(m), *(series for finding in m.findings for series in build_lesion_series(m, finding))]


class Drawing:
    """The undamaged contents of the files of a mammogram, drawn at first use: a complete download draws nothing."""

    def __init__(self, m: Mammogram) -> None:
        self._mammogram = m

    def get_dataset(self, instance: Instance) -> FileDataset:
        return self._datasets[instance.uid]

    @cached_property
    def _datasets(self) -> dict[str, FileDataset]:
        m = self._mammogram
        phantom = draw_mammogram(m.exposure)
        found = _build_datasets(m, build_full_series(m), {FULL: phantom.image})
        for finding in m.findings:
            pixels = {CROP: _build_crop(phantom, finding), MASK: _build_mask(phantom, finding)}
            for series in build_lesion_series(m, finding):
                found |= _build_datasets(m, series, pixels)
        return found


def _build_datasets(m: Mammogram, series: Series, pixels: dict[str, np.ndarray]) -> dict[str, FileDataset]:
    side, view = ("", "") if m.no_laterality else (m.exposure.side, m.exposure.view)
    return {
        one.uid: build_dataset(
            Header(series.subject, series.study, series.uid, one.uid, one.description, side, view),
            pixels[one.description],
        )
        for one in series.instances
    }


def _build_mask(phantom: Phantom, finding: Finding) -> np.ndarray:  # (H, W) uint8, 0 and 255
    mask = phantom.lesion_masks[finding.lesion].astype(np.uint8) * (0 if finding.mask_empty else 255)
    if finding.mask_scale == 1:
        return mask
    height, width = (round(side * finding.mask_scale) for side in mask.shape)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))


def _build_crop(phantom: Phantom, finding: Finding) -> np.ndarray:  # (h, w) uint16, stretched to 65535
    margin = max(2, round(35 / 4000 * phantom.image.shape[0]))
    x, y, w, h = cv2.boundingRect(phantom.lesion_masks[finding.lesion].astype(np.uint8))
    crop = phantom.image[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
    return np.round(crop.astype(np.float64) * (65535 / max(int(crop.max()), 1))).astype(np.uint16)
