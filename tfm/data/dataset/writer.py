"""Writes an arranged dataset: links, masks, audit, manifest. Can be stopped anywhere and started again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tfm.core import hints, machine
from tfm.core.errors import DiskError, SettingsError
from tfm.core.files import read_json, remove_leftovers, write_json, write_text
from tfm.data.dataset.audit import build_audit, format_audit
from tfm.data.dataset.dataset import AUDIT, AUDIT_TEXT, LABELS, LESIONS, MANIFEST, MASKS, MISSING, write_manifest
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.invariants import check_invariants
from tfm.data.dataset.link_files import LinkMode, UnusableFile, can_link, link_image, write_mask
from tfm.data.dataset.split import SPLITS
from tfm.data.download.catalog import Catalog, format_lesion_table
from tfm.data.download.folders import refuse_nested_folders
from tfm.data.download.notices import Notice
from tfm.data.download.tcia_metadata import format_manifest

_KEY = ".arrangement"  # of what the files standing in the folder were made: others are never taken for them
_OURS = re.compile(r"P_\d+_(LEFT|RIGHT)_[A-Z]+(_(mass|calc)_\d+)?\.(dcm|dicom|ima|jpe?g|png)")
_PIXELS_OF_A_MASK_BYTE = 200  # how well PNG packs masks: 500 to 2000 were seen


def organize_dataset(
    folder: Path,
    catalog: Catalog,
    plan: DatasetPlan,
    *,
    downloads: Sequence[Path],
    link: LinkMode,
    version: int,
) -> Iterator[tuple[int, int]]:
    """(images done, images in all) after each image. The manifest comes last: a folder with one is whole. `version` is
    that of the code that makes masks and images."""
    refuse_nested_folders(folder, downloads)
    proofs = check_invariants(catalog, plan)
    _refuse_full_disk(folder, plan, link)
    _clear_the_way(folder, plan, plan.key(version))
    placed_as: Counter[str] = Counter()
    bad: dict[str, Notice] = {}  # files of the dataset that could not be made, and why
    for done, placement in enumerate(plan.placements, start=1):
        try:
            placed_as[link_image(placement, folder / placement.file, link)] += 1
            if placement.mask and not (folder / placement.mask).exists():
                write_mask(folder / placement.mask, placement)
        except UnusableFile as reason:
            bad[reason.file] = reason.finding
        yield done, len(plan.placements)
    standing = plan.without(bad)
    write_text(folder / LESIONS, format_lesion_table(catalog, downloads))
    _write_missing(folder, catalog)
    account = build_audit(catalog, standing, proofs, placed_as)
    write_json(folder / AUDIT, account)
    write_text(folder / AUDIT_TEXT, format_audit(account))
    write_manifest(folder, standing.manifest)


def _write_missing(folder: Path, catalog: Catalog) -> None:
    series = catalog.list_series_to_fetch()
    if series:
        write_text(folder / MISSING, format_manifest(series))
    else:
        (folder / MISSING).unlink(missing_ok=True)


def refuse_replacing(folder: Path, catalog: Catalog, plan: DatasetPlan) -> None:
    """A dataset made otherwise stays: caches and models refer to it. One made likewise of a download that has
    grown since is made anew."""
    if not ((folder / MANIFEST).is_file() and (folder / AUDIT).is_file()):
        return
    account = read_json(folder / AUDIT)
    same_images = _images(pd.read_csv(folder / MANIFEST, dtype=str)) <= _images(plan.manifest)
    same_settings = (account["settings"], account["synthetic"]) == (plan.settings, catalog.synthetic)
    if not (same_images and same_settings):
        raise SettingsError(
            f"there is a dataset called {folder.name} already, made with other settings or of other data",
            hint=f"give this one a name of its own: {hints.setting('name', 'NAME')}",
            fields=("name",),
        )


def _images(manifest: pd.DataFrame) -> set[tuple[str, str]]:
    """What they are called, and of which sort their files are: a JPEG copy is other data."""
    return set(zip(manifest["image_id"], manifest["file"].map(lambda file: Path(file).suffix), strict=True))


def _refuse_full_disk(folder: Path, plan: DatasetPlan, link: LinkMode) -> None:
    needed = sum(one.rows * one.columns // _PIXELS_OF_A_MASK_BYTE for one in plan.placements if one.mask)
    linkable: dict[int, bool] = {}  # by disk
    for one in plan.placements:
        disk = one.source.stat().st_dev
        if disk not in linkable:
            linkable[disk] = link in ("hard", "symlink") and can_link(one.source, folder, link)
        if not (linkable[disk] or (folder / one.file).exists()):
            needed += one.size
    free = machine.read_free_gib(folder)
    if needed / 2**30 > free:
        raise DiskError(
            f"the dataset takes about {_size(needed)}, and the disk of {folder} has {_size(free * 2**30)} free",
            hint=f"make room, choose a {hints.setting('workspace')} on another disk, or links in place of copies: "
            f"{hints.setting('link', 'symlink')}",
        )


def _size(of_bytes: float) -> str:
    return f"{of_bytes / 2**30:.1f} GiB" if of_bytes > 2**30 else f"{of_bytes / 2**20:.0f} MiB"


def _clear_the_way(folder: Path, plan: DatasetPlan, key: str) -> None:
    """Remove what an earlier, different plan left; what still belongs stays and is not made again."""
    classes = [folder / split / label for split in SPLITS for label in LABELS]
    for inside in (*classes, folder / MASKS):
        inside.mkdir(parents=True, exist_ok=True)
        remove_leftovers(inside)
    remove_leftovers(folder)
    same = (folder / _KEY).is_file() and (folder / _KEY).read_text() == key
    if not same:
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_ours(folder / MASKS, keep=set())
    belonging = {folder / placement.file for placement in plan.placements}
    for inside in classes:  # what a link or copy is of can be told; what a PNG was made of cannot
        _remove_ours(inside, keep={path for path in belonging if same or path.suffix != ".png"})
    write_text(folder / _KEY, key)


def _remove_ours(inside: Path, keep: set[Path]) -> None:
    for path in inside.iterdir():
        if _OURS.fullmatch(path.name) and path not in keep:
            path.unlink()
