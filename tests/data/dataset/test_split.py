"""Patients are assigned to splits independently of the order of rows. Each rule is also broken on purpose."""

from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import read_cases_below
from tfm.core.errors import DataError
from tfm.data.dataset.lesions_to_images import build_mammogram_table
from tfm.data.dataset.split import hash_split, refuse_leaks, split_officially, split_randomly
from tfm.data.sources.cbis_ddsm import select_kinds

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@pytest.fixture(scope="module")
def official_images() -> pd.DataFrame:
    if not SHARED.exists():
        pytest.skip("the official CSVs are not here")
    return build_mammogram_table(read_cases_below(SHARED / "csv"))[0]


def invented_images(train: int = 40, test: int = 20) -> pd.DataFrame:
    """Both views of each patient; every other patient has a malignant lesion."""
    rows = [
        {
            "patient_id": f"P_{patient:05d}",
            "image_id": f"P_{patient:05d}_LEFT_{view}",
            "sop_uid": f"1.2.{patient}.{view}",
        }
        | {"label": "malignant" if patient % 2 else "benign", "official": "train" if patient < train else "test"}
        for patient in range(train + test)
        for view in ("CC", "MLO")
    ]
    return pd.DataFrame(rows)


def everything(images: pd.DataFrame) -> pd.Series:
    return pd.Series(True, index=images.index)


def test_official_counts_of_both_kinds_together(official_images: pd.DataFrame) -> None:
    split = split_officially(official_images, present=everything(official_images), val_share=0.15, seed=7)
    images = official_images.assign(split=split)
    learned, test = images[split.isin(["train", "val"])], images[split == "test"]
    counts = [(len(x), x["patient_id"].nunique(), int((x["label"] == "malignant").sum())) for x in (learned, test)]
    assert counts == [(2356, 1217, 1065), (641, 349, 267)]
    out = images[split == ""]
    assert len(out) == 35
    assert set(out["patient_id"]) <= set(test["patient_id"])


@pytest.mark.parametrize("kind", ["mass", "calc"])
def test_nothing_is_left_out_of_one_kind_alone(kind: str) -> None:
    if not SHARED.exists():
        pytest.skip("the official CSVs are not here")
    images = build_mammogram_table(select_kinds(read_cases_below(SHARED / "csv"), [kind]))[0]
    split = split_officially(images, present=everything(images), val_share=0.15, seed=7)
    assert (split != "").all()
    assert (split == "test").equals(images["official"] == "test")


@pytest.mark.parametrize("divide", [split_officially, split_randomly])
def test_no_patient_in_two_splits(official_images: pd.DataFrame, divide) -> None:  # type: ignore[no-untyped-def]
    split = divide(official_images, present=everything(official_images), val_share=0.15, seed=7)
    images = official_images.assign(split=split, sop_uid=official_images["image_id"])
    assert (images[split != ""].groupby("patient_id")["split"].nunique() == 1).all()
    refuse_leaks(images[split != ""])


def test_a_split_by_tcias_own_patient_id_leaks_and_is_noticed() -> None:
    images = invented_images()
    view = images["image_id"].str.rsplit("_", n=1).str[-1]
    as_tcia = images.assign(patient_id="Mass-Training_" + images["image_id"], split=view.map({"CC": "train"}))
    with pytest.raises(DataError, match=r"60 patient\(s\) in more than one split"):
        refuse_leaks(as_tcia.fillna({"split": "test"}))


def test_a_split_by_image_and_a_file_in_two_splits_are_noticed() -> None:
    images = invented_images().assign(split="train")
    refuse_leaks(images)
    images.loc[0, "split"] = "test"
    with pytest.raises(DataError, match="P_00000"):
        refuse_leaks(images)
    images.loc[1, "split"] = "test"
    refuse_leaks(images)
    images.loc[2, "sop_uid"] = images.loc[0, "sop_uid"]
    with pytest.raises(DataError, match=r"1 file\(s\)"):
        refuse_leaks(images)


def test_the_official_test_is_sealed_whatever_the_seed() -> None:
    images = invented_images()
    for seed in range(5):
        split = split_officially(images, present=everything(images), val_share=0.15, seed=seed)
        assert (split == "test").equals(images["official"] == "test")


def test_a_patient_in_both_official_splits_is_tested_and_its_train_images_are_left_out() -> None:
    images = invented_images()
    images.loc[1, "official"] = "test"
    split = split_officially(images, present=everything(images), val_share=0.15, seed=7)
    assert split[:2].tolist() == ["", "test"]
    absent = everything(images)
    absent[1] = False  # the test mammogram is missing from the download: it is still a test patient
    assert split_officially(images, present=absent, val_share=0.15, seed=7)[0] == ""


@pytest.mark.parametrize("divide", [split_officially, split_randomly])
def test_the_order_of_rows_changes_nothing_and_the_seed_does(divide) -> None:  # type: ignore[no-untyped-def]
    images = invented_images()
    turned = images.sample(frac=1, random_state=3)
    by_seed = [divide(images, present=everything(images), val_share=0.15, seed=seed) for seed in (7, 8)]
    again = divide(turned, present=everything(turned), val_share=0.15, seed=7)
    assert again.sort_index().equals(by_seed[0])
    assert not by_seed[0].equals(by_seed[1])


def test_validation_has_its_share_of_patients_of_both_labels() -> None:
    images = invented_images(train=80)
    split = split_officially(images, present=everything(images), val_share=0.15, seed=7)
    patients = images[split == "val"].drop_duplicates("patient_id")
    assert patients["label"].value_counts().to_dict() == {"benign": 6, "malignant": 6}


def test_a_random_split_is_70_15_15_by_patient() -> None:
    images = invented_images(train=150, test=50)
    split = split_randomly(images, present=everything(images), val_share=0.15, seed=7)
    patients = images.assign(split=split).groupby("split")["patient_id"].nunique()
    assert patients.to_dict() == {"train": 140, "val": 30, "test": 30}
    mixed = images[split == "test"]["official"]
    assert set(mixed) == {"train", "test"}


def test_a_missing_mammogram_moves_few_patients() -> None:
    images = invented_images(train=200)
    whole = split_officially(images, present=everything(images), val_share=0.15, seed=7)
    some = everything(images)
    some[:20] = False  # ten patients
    part = split_officially(images, present=some, val_share=0.15, seed=7)
    assert (whole[20:] != part[20:]).sum() <= 2 * 4


@pytest.mark.parametrize("patients", range(1, 9))
def test_the_first_of_a_few_patients_of_each_label_is_in_train(patients: int) -> None:
    images = invented_images(train=patients, test=4)
    split = split_randomly(images, present=everything(images), val_share=0.15, seed=7)
    assert set(split) <= {"train", "val", "test"}
    for _, of_label in images.assign(split=split).groupby("label"):
        counts = of_label.groupby("split")["patient_id"].nunique()
        assert counts["train"] >= 1
        assert len(counts) == min(of_label["patient_id"].nunique(), 3)


def test_the_split_hash_sees_splits_and_nothing_else() -> None:
    images = invented_images().assign(split="train")
    assert hash_split(images) == hash_split(images.iloc[::-1].assign(sop_uid="1.2.3"))
    moved = images.copy()
    moved.loc[0, "split"] = "val"
    assert hash_split(moved) != hash_split(images)
