"""The whole collection, organized: TCIA's own numbers come out, whatever is chosen."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import KINDS, plan_catalog, read_all, write_dataset
from tfm.core.errors import DataError, SettingsError
from tfm.data.dataset.audit import build_audit
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.invariants import check_invariants
from tfm.data.dataset.split import select_validation_fold
from tfm.data.download.match_files import Catalog
from tfm.data.download.read_download import DownloadContents, build_catalog


@pytest.fixture(scope="module")
def found(official_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> DownloadContents:
    return read_all(official_tree, index=tmp_path_factory.mktemp("index") / "headers.sqlite")


@pytest.fixture(scope="module")
def both(found: DownloadContents) -> Catalog:
    return build_catalog(found, KINDS)


def counts(arrangement: DatasetPlan) -> dict[str, int]:
    return arrangement.manifest["split"].value_counts().to_dict()


def patients(manifest: pd.DataFrame, *splits: str) -> int:
    return int(manifest.loc[manifest["split"].isin(splits), "patient_id"].nunique())


@pytest.mark.parametrize(("kind", "train", "test"), [("mass", 1231, 361), ("calc", 1227, 284)])
def test_each_kind_alone_has_tcias_images(found: DownloadContents, kind: str, train: int, test: int) -> None:
    catalog = build_catalog(found, (kind,))
    plan = plan_catalog(catalog)
    assert (counts(plan)["train"] + counts(plan)["val"], counts(plan)["test"]) == (train, test)
    assert plan.protocol == f"official, {kind}"
    assert catalog.missing == []


def test_both_kinds_make_2356_and_641_images_and_leave_35_out(both: Catalog) -> None:
    plan = plan_catalog(both)
    manifest = plan.manifest
    assert (counts(plan)["train"] + counts(plan)["val"], counts(plan)["test"]) == (2356, 641)
    assert sum(one.kind == "left-out" for one in plan.notices) == 35
    assert (patients(manifest, "train", "val"), patients(manifest, "test")) == (1217, 349)
    malignant = manifest[manifest["label"] == "malignant"]["split"].value_counts()
    assert (malignant["train"] + malignant["val"], malignant["test"]) == (1065, 267)
    assert plan.protocol == "official, mass+calc, union labels (7 changed)"
    assert (manifest["mask"] != "").all()
    val_share = patients(manifest, "val") / patients(manifest, "train", "val")
    assert val_share == pytest.approx(0.15, abs=0.002)


def test_the_audit_finds_all_that_the_collection_has_and_nothing_to_fetch(both: Catalog) -> None:
    plan = plan_catalog(both)
    account = build_audit(plan, check_invariants(plan), Counter())
    assert account["download"] == {
        "mass train": {
            "images_promised": 1231, "images_found": 1231, "lesions_promised": 1318, "masks_found": 1318,
            "crops_found": 1318,
        },
        "mass test": {
            "images_promised": 361, "images_found": 361, "lesions_promised": 378, "masks_found": 378,
            "crops_found": 378,
        },
        "calc train": {
            "images_promised": 1227, "images_found": 1227, "lesions_promised": 1546, "masks_found": 1546,
            "crops_found": 1546,
        },
        "calc test": {
            "images_promised": 284, "images_found": 284, "lesions_promised": 326, "masks_found": 326,
            "crops_found": 326,
        },
    }  # fmt: skip
    assert account["headers"]["files"] == account["census"]["files the CSVs name"]["all"] == 10239
    assert set(account["series"].values()) == {6775, 0}
    assert account["series"]["to fetch again"] == 0
    assert both.list_series_to_fetch() == []
    assert account["census"]["women in train and test"]["among all"] == 31
    assert {found["kind"] for found in account["findings"]} == {"odd-value", "mixed-labels", "twin", "left-out"}


@pytest.mark.long
def test_five_folds_share_the_training_patients_and_seal_the_test(
    both: Catalog, official_tree: Path, tmp_path: Path
) -> None:
    plan = plan_catalog(both, split="kfold")
    list(write_dataset(tmp_path / "folds", plan, official_tree))
    dataset = Dataset.open(tmp_path / "folds")
    official = plan_catalog(both).manifest
    sealed = set(official.loc[official["split"] == "test", "image_id"])
    validated: list[str] = []
    shares: list[float] = []
    for number in range(1, 6):
        fold = dataset.select_fold(number)
        assert set(fold.select_images("test")["image_id"]) == sealed
        patients_of = {split: set(fold.select_images(split)["patient_id"]) for split in ("train", "val", "test")}
        assert not patients_of["train"] & patients_of["val"]
        assert len(patients_of["val"]) in (243, 244)
        rows = fold.select_images("val")
        malignant = set(rows.loc[rows["label"] == "malignant", "patient_id"])
        shares.append(len(malignant) / len(patients_of["val"]))
        assert f"fold {number} of 5" in fold.protocol
        validated += list(fold.select_images("val")["image_id"])
    assert max(shares) - min(shares) < 0.01
    assert sorted(validated) == sorted(official.loc[official["split"] != "test", "image_id"])
    assert len({dataset.select_fold(number).split_hash for number in range(1, 6)}) == 5
    as_arranged = select_validation_fold(dataset.manifest["fold"], 1)
    assert (as_arranged == dataset.manifest["split"]).all(), "it is plan as its first fold"
    with pytest.raises(DataError, match="no fold 6"):
        dataset.select_fold(6)


def test_each_lesion_is_one_crop_with_its_own_label(both: Catalog) -> None:
    plan = plan_catalog(both, images="crops")
    manifest = plan.manifest
    left_out = [one for one in plan.notices if one.kind == "left-out"]
    assert len(manifest) + len(left_out) == 3568
    assert set(manifest["mask"]) == {""}
    assert set(manifest["lesions"]) == {1}
    tested = set(both.lesions.loc[both.lesions["split"] == "test", "patient_id"])
    assert not tested & set(manifest.loc[manifest["split"] != "test", "patient_id"])
    check_invariants(plan)
    assert plan.protocol == "official, mass+calc, crops"


def test_a_download_without_official_test_must_be_split_at_random(found: DownloadContents) -> None:
    catalog = build_catalog(found, KINDS)
    lesions = catalog.lesions
    without = Catalog(**{**vars(catalog), "lesions": lesions.assign(
        image_file=lesions["image_file"].where(lesions["split"] == "train", "")
    )})  # fmt: skip
    for split in ("official", "kfold"):
        with pytest.raises(SettingsError, match=f"the {split} split is impossible") as caught:
            plan_catalog(without, split=split)
        assert caught.value.fields == ("split",)
    plan = plan_catalog(without, split="random")
    assert plan.protocol.startswith("random (seed 7)")
    assert min(counts(plan).values()) > 300


def test_missing_test_images_are_part_of_the_protocol(both: Catalog) -> None:
    lesions = both.lesions.copy()
    lost = lesions.index[lesions["split"] == "test"][:40]
    lesions.loc[lost, "image_file"] = ""
    partial = Catalog(**{**vars(both), "lesions": lesions})
    plan = plan_catalog(partial)
    here = counts(plan)["test"]
    assert here < 641
    assert plan.protocol.endswith(f"{here} of 641 test images")
    kept = plan.manifest.set_index("image_id")["split"]
    whole = plan_catalog(both).manifest.set_index("image_id")["split"]
    assert (kept == whole[kept.index]).all(), "a missing file moves nobody"
