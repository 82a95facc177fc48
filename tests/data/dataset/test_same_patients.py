"""A patient whom a download names twice, by another spelling or by an identical image, is in one split."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.core.files import read_json
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.invariants import check_invariants
from tfm.data.dataset.same_patients import SamePatients
from tfm.data.dataset.split import refuse_leaks
from tfm.data.download.match_files import Catalog


@pytest.fixture
def download(tmp_path: Path) -> Path:
    phantom_download(tmp_path / "download", 14, 4, seed=1)
    return tmp_path / "download"


def read(download: Path) -> Catalog:
    return read_catalog(download, index=download.with_name("headers.sqlite"))


def choose_scans(catalog: Catalog, split: str) -> list[str]:
    """One mammogram of each patient of a published split: patient, side and view."""
    rows = catalog.lesions[catalog.lesions["split"] == split].drop_duplicates("patient_id")
    return list(rows[["patient_id", "side", "view"]].agg("_".join, axis=1))


def copy_pixels(catalog: Catalog, source: str, *targets: str) -> None:
    """Give the mammograms of other patients the pixels of one, below their own headers."""
    names = catalog.lesions[["patient_id", "side", "view"]].agg("_".join, axis=1)
    files = dict(zip(names, catalog.lesions["image_file"], strict=True))
    pixels = pydicom.dcmread(files[source])
    for target in targets:
        film = pydicom.dcmread(files[target])
        film.Rows, film.Columns, film.PixelData = pixels.Rows, pixels.Columns, pixels.PixelData
        film.StudyDescription = "a header of another length"
        film.save_as(files[target])


def find_places(plan: DatasetPlan, patients: Sequence[str]) -> set[str]:
    """The splits of the images that were issued under these names."""
    images = plan.manifest[plan.manifest["image_id"].str[:7].isin(patients)]
    return set(images["split"])


@pytest.mark.parametrize("split", ["official", "random", "kfold"])
def test_the_same_pixels_are_never_in_two_splits(download: Path, split: str) -> None:
    before = read(download)
    scans = [*choose_scans(before, "train")[:9], choose_scans(before, "test")[0]]
    for one, other in zip(scans[::2], scans[1::2], strict=True):
        copy_pixels(before, one, other)
    catalog = read(download)
    plan = plan_catalog(catalog, split=split)
    check_invariants(plan)
    for one, other in zip(scans[::2], scans[1::2], strict=True):
        assert len(find_places(plan, [one[:7], other[:7]])) == 1
    assert "10 patients counted as 5 (identical images)" in plan.protocol
    names = plan.manifest.set_index("image_id")["patient_id"]
    assert names[scans[1]] == scans[0][:7], "the first name is the patient's"


def test_the_official_test_keeps_its_images_and_the_audit_names_the_training_images_left_out(
    download: Path, tmp_path: Path
) -> None:
    before = read(download)
    untouched = plan_catalog(before).manifest
    train, test = choose_scans(before, "train")[0], choose_scans(before, "test")[0]
    copy_pixels(before, train, test)
    catalog = read(download)
    plan = plan_catalog(catalog)
    assert find_places(plan, [train[:7], test[:7]]) == {"test"}
    tested = [set(table.loc[table["split"] == "test", "image_id"]) for table in (untouched, plan.manifest)]
    assert tested[0] == tested[1]
    list(write_dataset(tmp_path / "dataset", plan, download))
    audit = (tmp_path / "dataset" / "audit.md").read_text(encoding="utf-8")
    assert f"- {train}: the same pixels as {test}" in audit
    assert f"- {train}: a training image of a patient in the official test set" in audit
    assert "2 patients counted as 1 (identical images)" in Dataset.open(tmp_path / "dataset").protocol
    assert read_json(tmp_path / "dataset" / "audit.json")["leaks"] == 0


def test_three_names_joined_by_two_images_are_one_patient(download: Path) -> None:
    before = read(download)
    first, second, third = choose_scans(before, "train")[1:4]
    others = [name for name in plan_catalog(before).manifest["image_id"] if name[:7] == second[:7]]
    copy_pixels(before, first, second)
    copy_pixels(before, next(name for name in others if name != second), third)
    plan = plan_catalog(read(download))
    assert "3 patients counted as 1 (identical images)" in plan.protocol


def test_patients_with_the_same_crop_are_one_patient(download: Path) -> None:
    before = read(download)
    train, test = (before.lesions[before.lesions["split"] == split].iloc[0] for split in ("train", "test"))
    crop, other = pydicom.dcmread(train["crop_file"]), pydicom.dcmread(test["crop_file"])
    crop.Rows, crop.Columns, crop.PixelData = other.Rows, other.Columns, other.PixelData
    crop.save_as(train["crop_file"])
    plan = plan_catalog(read(download), images="crops")
    assert find_places(plan, [train["patient_id"], test["patient_id"]]) == {"test"}
    assert "2 patients counted as 1 (identical images)" in plan.protocol


def test_images_without_an_identical_one_change_nothing(download: Path) -> None:
    plan = plan_catalog(read(download))
    assert "identical" not in plan.protocol
    assert (plan.manifest["patient_id"] == plan.manifest["image_id"].str[:7]).all()


def test_a_patient_spelled_in_two_ways_is_one_patient(download: Path) -> None:
    """The CSVs of calcifications lose the zeros, and their files keep them."""
    expected = plan_catalog(read(download)).manifest
    for path in download.glob("calc_case_description_*.csv"):
        text = path.read_bytes().decode()
        path.write_bytes(re.sub(r"^P_0*(?=\d)", "p-", text, flags=re.MULTILINE).encode())
    catalog = read(download)
    plan = plan_catalog(catalog)
    check_invariants(plan)
    assert plan.manifest.equals(expected)


def test_another_collections_patient_spelled_in_two_ways_is_one_patient(download: Path) -> None:
    catalog = read(download)
    lesions, half = catalog.lesions, catalog.lesions["view"] == "CC"
    short = lesions["patient_id"].str.replace(r"P_0*", "P_", regex=True)
    mixed = replace(catalog, lesions=lesions.assign(patient_id=lesions["patient_id"].mask(half, short)))
    for split in ("official", "random"):
        plan = plan_catalog(mixed, split=split)
        check_invariants(plan)
        assert set(plan.manifest["patient_id"]) <= set(lesions["patient_id"])
        assert "identical" not in plan.protocol


def test_a_dataset_with_identical_images_in_two_splits_is_noticed_before_it_is_written(download: Path) -> None:
    catalog = read(download)
    plan = plan_catalog(catalog)
    pair = tuple(sorted(f"{choose_scans(catalog, split)[0]}" for split in ("train", "test")))
    unmerged = SamePatients({name: name for name in catalog.lesions["patient_id"]}, (pair,))
    with pytest.raises(DataError, match="none with the same pixels, is in two splits"):
        check_invariants(replace(plan, same_patients=unmerged))


def test_placeholders_are_not_evidence_of_the_same_patient(download: Path) -> None:
    """Films of one grey value, as a broken export writes them."""
    before = read(download)
    names = choose_scans(before, "train")[:3]
    for name in names:
        rows = before.lesions[["patient_id", "side", "view"]].agg("_".join, axis=1) == name
        file = before.lesions.loc[rows, "image_file"].iloc[0]
        film = pydicom.dcmread(file)
        film.PixelData = b"\x07\x00" * (len(film.PixelData) // 2)
        film.save_as(file)
    assert "identical" not in plan_catalog(read(download)).protocol


def test_leaks_are_seen_through_the_spelling() -> None:
    manifest = pd.DataFrame({"patient_id": ["P_133", "P_00133"], "split": ["train", "test"]})
    manifest = manifest.assign(image_id=["P_133_LEFT_CC", "P_00133_LEFT_MLO"], sop_uid=["1", "2"])
    with pytest.raises(DataError, match=r"1 patient\(s\) in more than one split: P_00133"):
        refuse_leaks(manifest)
