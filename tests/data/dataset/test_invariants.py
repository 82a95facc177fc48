"""Mistakes that public programs make, made on purpose: the invariants notice each one before anything is written."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.core.files import read_json
from tfm.core.randomness import seed_at
from tfm.data.dataset import lesions_to_images, split
from tfm.data.dataset.dataset import Dataset
from tfm.data.download.match_files import Catalog
from tfm.data.sources import cbis_ddsm_images


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("download")
    phantom_download(folder, 16, 6, planted="all", seed=3)
    return folder


@pytest.fixture
def catalog(phantoms: Path, tmp_path: Path) -> Catalog:
    return read_catalog(phantoms, index=tmp_path / "headers.sqlite")


def organize(catalog: Catalog, phantoms: Path, tmp_path: Path, **other: Any) -> None:
    plan = plan_catalog(catalog, **other)
    list(write_dataset(tmp_path / "dataset", plan, phantoms))


def split_by_patient_id(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """TCIA's PatientID names a view: it puts the two views of a breast into two splits."""
    places = images["image_id"].map(lambda name: seed_at(seed, name) % 20)
    return places.map(lambda place: "test" if place < 3 else "val" if place < 6 else "train")


def keep_train_images_of_test_patients(images: pd.DataFrame, **_: Any) -> pd.Series:
    """Mass and calc sets merged without a check for patients who are in both."""
    return images["official"].mask(images["official"] != "test", "train")


def label_by_the_first_lesion(lesions: pd.DataFrame) -> Any:
    table, findings = BUILD_TABLE(lesions)
    first = {name: found[0]["pathology"] for name, found in lesions_to_images.group_by_view(lesions).items()}
    labels = table["image_id"].map(lambda name: "malignant" if first[name] == "MALIGNANT" else "benign")
    return table.assign(label=labels), findings


def drop_odd_rows_in_silence(lesions: pd.DataFrame) -> Any:
    table, findings = BUILD_TABLE(lesions)
    return table[table["kind"] != "mass+calc"].reset_index(drop=True), findings


BUILD_TABLE = lesions_to_images.build_mammogram_table
MISTAKES = {
    "split by PatientID": (split, "split_randomly", split_by_patient_id, "in two splits"),
    "train images of test patients": (split, "split_officially", keep_train_images_of_test_patients, "in two splits"),
    "first-row label": (cbis_ddsm_images, "build_mammogram_table", label_by_the_first_lesion, "malignant exactly if"),
    "rows dropped in silence": (cbis_ddsm_images, "build_mammogram_table", drop_odd_rows_in_silence, "every image of"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_program_is_noticed_before_anything_is_written(
    mistake: str, catalog: Catalog, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, wrong, words = MISTAKES[mistake]
    function: Callable[..., Any] = wrong
    monkeypatch.setattr(module, name, function)
    with pytest.raises(DataError, match=words):
        organize(catalog, phantoms, tmp_path, split="random" if name == "split_randomly" else "official")
    assert not (tmp_path / "dataset").exists()


def test_patients_of_another_collection_are_noticed_in_two_splits(
    catalog: Catalog, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patients whose names do not have the form of CBIS-DDSM, P_00001."""
    monkeypatch.setattr(split, "split_randomly", split_by_patient_id)
    lesions = catalog.lesions.assign(patient_id=catalog.lesions["patient_id"].str.replace("P_", "clinic-"))
    with pytest.raises(DataError, match="in two splits"):
        organize(replace(catalog, lesions=lesions), phantoms, tmp_path, split="random")
    assert not (tmp_path / "dataset").exists()


def test_masks_taken_for_crops_are_noticed(catalog: Catalog, phantoms: Path, tmp_path: Path) -> None:
    """As a program does that tells them apart by file name or by the columns of the CSV."""
    swapped = catalog.lesions.rename(columns={"mask_file": "crop_file", "crop_file": "mask_file"})
    with pytest.raises(DataError, match="masks have two grey values"):
        organize(replace(catalog, lesions=swapped), phantoms, tmp_path)
    assert not (tmp_path / "dataset").exists()


def test_one_damaged_mask_costs_only_itself_unless_the_run_should_stop(phantoms: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(phantoms, tmp_path / "download"))
    catalog = read_catalog(copy, index=tmp_path / "headers.sqlite")
    whole = plan_catalog(catalog)
    image = next(image for image in whole.planned if image.lesions)
    victim = image.lesions[0]
    mask = pydicom.dcmread(victim.outline.path)
    noise = np.random.default_rng(1).integers(0, 256, (mask.Rows, mask.Columns), np.uint8)
    mask.PixelData = noise.tobytes() + b"\0" * (noise.size % 2)
    mask.save_as(victim.outline.path)
    with pytest.raises(DataError, match="cannot be used") as stopped:
        list(write_dataset(tmp_path / "dataset", whole, copy, on_bad_image="stop"))
    assert victim.subject in stopped.value.message
    list(write_dataset(tmp_path / "dataset", whole, copy))
    dataset = Dataset.open(tmp_path / "dataset")
    assert list(dataset.manifest["image_id"]) == list(whole.manifest["image_id"])
    masks = dataset.manifest.set_index("image_id")["mask"]
    assert masks[image.image_id] == ""
    assert (masks != "").sum() >= (whole.manifest["mask"] != "").sum() - 2, "one was damaged before"
    noticed = {found["subject"] for found in read_json(tmp_path / "dataset" / "audit.json")["findings"]}
    assert victim.subject in noticed


@pytest.mark.parametrize("split", ["official", "random"])
def test_the_invariants_hold_without_a_mistake(split: str, catalog: Catalog, phantoms: Path, tmp_path: Path) -> None:
    organize(catalog, phantoms, tmp_path, split=split)
    assert (tmp_path / "dataset" / "manifest.csv").is_file()
