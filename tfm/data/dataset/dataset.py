"""An organized dataset on disk: its file names, and how to open it. It is written in `writer`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.files import compute_sha256, read_json, write_text
from tfm.data.dataset.split import FOLDS, SPLITS, describe_fold, hash_split, refuse_leaks, select_validation_fold
from tfm.data.format_table import format_table

MANIFEST_COLUMNS = (
    *("image_id", "patient_id", "side", "view", "kind", "split", "label"),
    *("density", "assessment", "subtlety", "file", "mask", "sop_uid"),
    *("lesions", "fold"),  # their number; 1 to FOLDS in a dataset of folds, 0 for its test set
)
LABELS = ("benign", "malignant")
MANIFEST, AUDIT, AUDIT_TEXT, MASKS = "manifest.csv", "audit.json", "audit.md", "masks"
LESIONS, MISSING = "lesions.csv", "missing.tcia"
DATASET_DOCUMENTS = (MANIFEST, AUDIT, AUDIT_TEXT, LESIONS, MISSING)  # the last only if something is missing
_NUMBERS = ("density", "assessment", "subtlety", "lesions", "fold")


def name_image_file(split: str, label: str, image_id: str, ending: str) -> str:
    return f"{split}/{label}/{_make_file_name(image_id)}{ending}"


def name_mask_file(image_id: str) -> str:
    return f"{MASKS}/{_make_file_name(image_id)}.png"


def _make_file_name(image_id: str) -> str:
    """Some disks allow no colon, which follows the collection in an image_id."""
    return image_id.replace(":", "__")


@dataclass(frozen=True)
class Dataset:
    folder: Path
    manifest: pd.DataFrame  # MANIFEST_COLUMNS; files relative to the folder; "" if an image has no mask
    content_hash: str  # of manifest.csv
    split_hash: str
    protocol: str  # every figure measured on the dataset states it
    synthetic: bool  # phantoms: figures on them say nothing about real performance
    collection: Mapping[str, str] = field(
        default_factory=dict
    )  # title, labels, licence, citation and more; empty for CBIS-DDSM

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(
                f"{folder} is not an organized dataset: it has no {MANIFEST}",
                hint="organize a download first, or resume the organize run that was stopped",
            )
        manifest = _read_manifest(path)
        refuse_leaks(manifest)
        account = read_json(folder / AUDIT)
        return cls(
            folder,
            manifest,
            compute_sha256(path),
            hash_split(manifest),
            account["protocol"],
            account["synthetic"],
            account.get("collection", {}),
        )

    def select_fold(self, number: int) -> Dataset:
        """Use fold `number` for validation and the others for training.

        A dataset is stored with its first fold for validation; one without folds has only that.
        """
        if number == 1:
            return self
        if number not in range(1, FOLDS + 1) or self.manifest["fold"].isna().any():
            raise DataError(
                f"{self.folder.name} has no fold {number}",
                hint=f"organize it with {hints.setting('split', 'kfold')}; its folds are then 1 to {FOLDS}",
            )
        manifest = self.manifest.assign(split=select_validation_fold(self.manifest["fold"], number))
        refuse_leaks(manifest)
        protocol = self.protocol.replace(describe_fold(1), describe_fold(number))
        return replace(self, manifest=manifest, split_hash=hash_split(manifest), protocol=protocol)

    def use_all_for_testing(self) -> Dataset:
        """Make every image a test image, for models that were trained on another dataset."""
        manifest = self.manifest.assign(split="test")
        protocol = f"every image is tested; {self.protocol}"
        return replace(self, manifest=manifest, split_hash=hash_split(manifest), protocol=protocol)

    def select_images(self, split: str) -> pd.DataFrame:
        if split not in SPLITS:
            raise ValueError(f"no such split: {split}")
        return self.manifest[self.manifest["split"] == split].reset_index(drop=True)

    def exclude(self, names: Collection[str]) -> Dataset:
        return replace(self, manifest=self.manifest[~self.manifest["image_id"].isin(names)].reset_index(drop=True))

    def path(self, relative: str) -> Path:
        """The path of a `file` or `mask` of the manifest."""
        return self.folder / relative


def write_manifest(folder: Path, manifest: pd.DataFrame) -> None:
    write_text(folder / MANIFEST, format_manifest(manifest))


def format_manifest(manifest: pd.DataFrame) -> str:
    return format_table(manifest, MANIFEST_COLUMNS)


def _read_manifest(path: Path) -> pd.DataFrame:
    hint = "run organize again: it rewrites the manifest"
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint=hint) from error
    missing = [column for column in MANIFEST_COLUMNS if column not in manifest]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}", hint=hint)
    if not (manifest["split"].isin(SPLITS).all() and manifest["label"].isin(LABELS).all()):
        raise DataError(f"{path} has an unknown split or label", hint=hint)
    for column in _NUMBERS:
        manifest[column] = pd.to_numeric(manifest[column], errors="coerce").astype("Int64")
    return manifest
