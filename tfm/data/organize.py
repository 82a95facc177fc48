"""Writes an arranged dataset: links, masks, audit, manifest. Can be stopped anywhere and started again."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
import pydicom

from tfm.core.errors import DataError
from tfm.core.files import beside, read_json, sweep, write_bytes, write_json, write_text
from tfm.data.arrange import Arrangement, LesionMask, Placement
from tfm.data.audit import as_text, audit
from tfm.data.catalog import Catalog
from tfm.data.dataset import AUDIT, AUDIT_TEXT, LABELS, MANIFEST, MASKS, write_manifest
from tfm.data.split import SPLITS, prove_no_leak

LinkMode = Literal["hard", "symlink", "copy"]

_KEY = ".arrangement"  # of what the masks standing in the folder were made: others are never taken for them
_OURS = re.compile(r"P_\d+_(LEFT|RIGHT)_[A-Z]+\.(dcm|png)")
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def organize_dataset(
    folder: Path, catalog: Catalog, arrangement: Arrangement, *, downloads: Sequence[Path], link: LinkMode
) -> Iterator[tuple[int, int]]:
    """(images done, images in all) after each image. The manifest comes last: a folder with one is whole."""
    _refuse_nesting(folder, downloads)
    prove_no_leak(arrangement.manifest)
    _clear_the_way(folder, arrangement)
    placed_as: Counter[str] = Counter()
    for done, placement in enumerate(arrangement.placements, start=1):
        placed_as[_place(placement.source, folder / placement.file, link)] += 1
        if placement.mask and not (folder / placement.mask).exists():
            _write_mask(folder / placement.mask, placement)
        yield done, len(arrangement.placements)
    account = audit(catalog, arrangement, placed_as)
    write_json(folder / AUDIT, account)
    write_text(folder / AUDIT_TEXT, as_text(account))
    write_manifest(folder, arrangement.manifest)


def refuse_replacing(folder: Path, catalog: Catalog, arrangement: Arrangement) -> None:
    """A dataset made otherwise stays: caches and models refer to it. One made likewise of a download that has
    grown since is made anew."""
    if not ((folder / MANIFEST).is_file() and (folder / AUDIT).is_file()):
        return
    account = read_json(folder / AUDIT)
    standing = set(pd.read_csv(folder / MANIFEST, dtype=str)["image_id"])
    of_this = standing <= set(arrangement.manifest["image_id"])
    if not of_this or (account["settings"], account["synthetic"]) != (arrangement.settings, catalog.synthetic):
        raise DataError(
            f"there is a dataset called {folder.name} already, made with other settings or of other data",
            hint="give this one a name of its own: --name NAME",
        )


def _refuse_nesting(folder: Path, downloads: Sequence[Path]) -> None:
    inner = folder.resolve()
    for download in (path.resolve() for path in downloads):
        if inner.is_relative_to(download) or download.is_relative_to(inner):
            raise DataError(
                f"the dataset folder {folder} and the download {download} lie one in the other",
                hint="choose a workspace outside the download: nothing is ever written there",
            )


def _clear_the_way(folder: Path, arrangement: Arrangement) -> None:
    """Remove what an earlier, different arrangement left; what still belongs stays and is not made again."""
    places = [folder / split / label for split in SPLITS for label in LABELS]
    for place in (*places, folder / MASKS):
        place.mkdir(parents=True, exist_ok=True)
        sweep(place)
    sweep(folder)
    same = (folder / _KEY).is_file() and (folder / _KEY).read_text() == arrangement.key
    if not same:
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_ours(folder / MASKS, keep=set())
    for place in places:
        _remove_ours(place, keep={folder / placement.file for placement in arrangement.placements})
    write_text(folder / _KEY, arrangement.key)


def _remove_ours(place: Path, keep: set[Path]) -> None:
    for path in place.iterdir():
        if _OURS.fullmatch(path.name) and path not in keep:
            path.unlink()


def _place(source: Path, target: Path, link: LinkMode) -> str:
    """Have `source` stand at `target`; says how it stands, since some disks cannot link."""
    if link == "copy":
        return _copy(source, target)
    try:
        return _hard_link(source, target) if link == "hard" else _symlink(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return _copy(source, target)


def _hard_link(source: Path, target: Path) -> str:
    if not (_is_plain(target) and target.samefile(source)):
        with beside(target) as temporary:
            os.link(source, temporary)
    return "hard"


def _symlink(source: Path, target: Path) -> str:
    if not (target.is_symlink() and target.readlink() == source):
        with beside(target) as temporary:
            temporary.symlink_to(source)
    return "symlink"


def _copy(source: Path, target: Path) -> str:
    if not _is_copy(source, target):
        with beside(target) as temporary:
            shutil.copy2(source, temporary)
    return "copy"


def _is_plain(target: Path) -> bool:
    return target.is_file() and not target.is_symlink()


def _is_copy(source: Path, target: Path) -> bool:
    if not _is_plain(target) or target.samefile(source):
        return False
    ours, theirs = target.stat(), source.stat()
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _write_mask(target: Path, placement: Placement) -> None:
    classes = np.zeros((placement.rows, placement.columns), np.uint8)
    for lesion in placement.lesions:
        # Classes rise with malignancy, so the larger one wins where lesions overlap.
        np.maximum(classes, _lesion_classes(lesion, classes.shape), out=classes)
    write_bytes(target, cv2.imencode(".png", classes)[1].tobytes())


def _lesion_classes(lesion: LesionMask, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(rows, columns) uint8 of the mammogram's size: the lesion's class inside it, else 0."""
    pixels = pydicom.dcmread(lesion.file).pixel_array
    inside: np.ndarray[Any, Any] = (pixels > 0).astype(np.uint8)
    if inside.shape != shape:
        inside = cv2.resize(inside, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return inside * np.uint8(lesion.pixel_class)
