"""Write a planned dataset: links, masks, audit, manifest. It can be stopped anywhere and started again.
The files are chosen in `dataset_plan`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tfm.core import hints, machine
from tfm.core.errors import DataError, DiskError, SettingsError
from tfm.core.files import read_json, remove_leftovers, sync_folder, write_json, write_text
from tfm.data.dataset.audit import build_audit, format_audit
from tfm.data.dataset.dataset import AUDIT, AUDIT_TEXT, LABELS, LESIONS, MANIFEST, MASKS, MISSING, write_manifest
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.invariants import check_invariants
from tfm.data.dataset.link_files import LinkMode, UnusableFile, can_link, link_image, write_mask
from tfm.data.dataset.split import SPLITS
from tfm.data.download.find_files import refuse_nested_folders
from tfm.data.download.notices import Notice
from tfm.data.download.tcia_metadata import format_manifest
from tfm.data.settings import OnBadImage

_KEY = ".arrangement"  # hash of what the files in the folder were made of: files of another plan are not reused
_OWN_FILES = re.compile(  # of CBIS-DDSM, or with the collection before the name
    r"(P_\d+_(LEFT|RIGHT)_[A-Z]+(_(mass|calc)_\d+)?|[a-z][a-z-]+__.+)\.(dcm|dicom|ima|jpe?g|png|tiff?|pgm)"
)
_BAD_FILES = ("unreadable", "truncated", "unfit", "bad-mask")  # kinds of notices
_SHOWN_BAD_FILES = 10
_PIXELS_PER_MASK_BYTE = 200  # PNG compression of masks: 500 to 2000 were measured


def organize_dataset(
    folder: Path,
    plan: DatasetPlan,
    *,
    downloads: Sequence[Path],
    link: LinkMode,
    version: int,
    on_bad_image: OnBadImage = "leave out",
) -> Iterator[tuple[int, int]]:
    """Yield (images done, images in all) after each image. The manifest comes last: a folder with one is complete.

    Args:
        version: of the code that makes masks and images.
        on_bad_image: whether files that cannot be used are left out or stop the run.
    """
    refuse_nested_folders(folder, downloads)
    invariants = check_invariants(plan)
    _refuse_full_disk(folder, plan, link)
    _remove_obsolete_files(folder, plan, plan.hash_content(version))
    link_counts: Counter[str] = Counter()
    bad: dict[str, Notice] = {}  # file of the dataset → why it could not be made
    for done, image in enumerate(plan.planned, start=1):
        try:
            link_counts[link_image(image, folder / image.file, link)] += 1
            if image.mask and not (folder / image.mask).exists():
                write_mask(folder / image.mask, image)
        except UnusableFile as error:
            bad[error.file] = error.notice
        yield done, len(plan.planned)
    for inside in {(folder / image.file).parent for image in plan.planned}:
        sync_folder(inside)
    written = plan.exclude_files(bad)
    if on_bad_image == "stop":
        _refuse_bad_files(written)
    write_text(folder / LESIONS, plan.source.format_table(downloads))
    if missing := plan.source.list_series_to_fetch():
        write_text(folder / MISSING, format_manifest(missing))
    else:
        (folder / MISSING).unlink(missing_ok=True)
    account = build_audit(written, invariants, link_counts)
    write_json(folder / AUDIT, account)
    write_text(folder / AUDIT_TEXT, format_audit(account))
    write_manifest(folder, written.manifest)


def _refuse_bad_files(plan: DatasetPlan) -> None:
    bad = [found for found in plan.notices if found.kind in _BAD_FILES]
    if bad:
        shown = "".join(f"\n{found.subject}: {found.words}" for found in bad[:_SHOWN_BAD_FILES])
        more = f"\n… and {len(bad) - _SHOWN_BAD_FILES} more" if len(bad) > _SHOWN_BAD_FILES else ""
        raise DataError(
            f"{len(bad)} files of the download cannot be used:{shown}{more}",
            hint=f"download them again, or go on without them: {hints.setting('on_bad_image', 'leave out')}",
        )


def refuse_replacing(folder: Path, plan: DatasetPlan) -> None:
    """Refuse to replace a dataset with other settings or images: caches and models refer to it.

    A dataset with the same settings may be replaced after its download has grown.
    """
    if not ((folder / MANIFEST).is_file() and (folder / AUDIT).is_file()):
        return
    account = read_json(folder / AUDIT)
    same_images = _list_images(pd.read_csv(folder / MANIFEST, dtype=str)) <= _list_images(plan.manifest)
    same_settings = (account["settings"], account["synthetic"]) == (plan.settings, plan.source.synthetic)
    if not (same_images and same_settings):
        raise SettingsError(
            f"a dataset called {folder.name} exists already, made with other settings or of other data",
            hint=f"give this one another name: {hints.setting('name', 'NAME')}",
            fields=("name",),
        )


def _list_images(manifest: pd.DataFrame) -> set[tuple[str, str]]:
    """Return names and file types: a JPEG copy is other data."""
    return set(zip(manifest["image_id"], manifest["file"].map(lambda file: Path(file).suffix), strict=True))


def _refuse_full_disk(folder: Path, plan: DatasetPlan, link: LinkMode) -> None:
    needed = sum(one.rows * one.columns // _PIXELS_PER_MASK_BYTE for one in plan.planned if one.mask)
    linkable: dict[int, bool] = {}  # by disk
    for one in plan.planned:
        disk = one.source.stat().st_dev
        if disk not in linkable:
            linkable[disk] = link in ("hard", "symlink") and can_link(one.source, folder, link)
        if not (linkable[disk] or (folder / one.file).exists()):
            needed += one.size
    free = machine.read_free_gib(folder)
    if needed / 2**30 > free:
        raise DiskError(
            f"the dataset needs about {_format_size(needed)}, and the disk of {folder} has "
            f"{_format_size(free * 2**30)} free",
            hint=f"free some space, choose a {hints.setting('workspace')} on another disk, or use links: "
            f"{hints.setting('link', 'symlink')}",
        )


def _format_size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size > 2**30 else f"{size / 2**20:.0f} MiB"


def _remove_obsolete_files(folder: Path, plan: DatasetPlan, key: str) -> None:
    """Remove the files of an earlier, different plan. The other files stay and are not made again."""
    classes = [folder / split / label for split in SPLITS for label in LABELS]
    for inside in (*classes, folder / MASKS):
        inside.mkdir(parents=True, exist_ok=True)
        remove_leftovers(inside)
    remove_leftovers(folder)
    same = (folder / _KEY).is_file() and (folder / _KEY).read_text() == key
    if not same:
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_own_files(folder / MASKS, keep=set())
    planned = {folder / image.file for image in plan.planned}
    for inside in classes:  # the source of a link or copy can be checked, that of a PNG cannot
        _remove_own_files(inside, keep={path for path in planned if same or path.suffix != ".png"})
    write_text(folder / _KEY, key)


def _remove_own_files(inside: Path, keep: set[Path]) -> None:
    for path in inside.iterdir():
        if _OWN_FILES.fullmatch(path.name) and path not in keep:
            path.unlink()
