"""A protocol and an audit state what is missing: parts of the download, shared files, incomplete CSVs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.downloads import KINDS, plan_catalog, read_all, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.invariants import check_invariants

CSV = "{}_case_description_{}_set.csv"


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    phantom_download(tmp_path / "download", 12, 4, planted="several-lesions, mixed-labels")
    return tmp_path / "download"


@pytest.fixture
def edited(phantoms: Path) -> Callable[[str, Callable[[list[str]], list[str]]], None]:
    """Changes the lines of a case CSV."""

    def edit(name: str, change: Callable[[list[str]], list[str]]) -> None:
        path = phantoms / name
        path.write_bytes("\r\n".join(change(path.read_bytes().decode().split("\r\n"))).encode())

    return edit


def protocol(phantoms: Path, tmp_path: Path, **other: object) -> str:
    return plan_catalog(read_catalog(phantoms, index=tmp_path / "headers.sqlite"), **other).protocol


def test_a_test_without_its_csv_is_part_of_the_protocol(phantoms: Path, tmp_path: Path) -> None:
    assert "no CSV" not in protocol(phantoms, tmp_path)
    (phantoms / CSV.format("calc", "test")).unlink()
    assert protocol(phantoms, tmp_path).endswith("no CSV of calc test")
    assert "no CSV" not in protocol(phantoms, tmp_path, split="random")


def test_the_protocol_of_a_partial_random_split_states_the_total(phantoms: Path, tmp_path: Path) -> None:
    lost = next(path for path in sorted(phantoms.rglob("*.dcm")) if "full mammogram" in str(path))
    lost.unlink()
    assert protocol(phantoms, tmp_path, split="random").endswith("31 of 32 images")


def test_an_image_that_cannot_be_decoded_is_missing_in_the_protocol(phantoms: Path, tmp_path: Path) -> None:
    found = read_catalog(phantoms, index=tmp_path / "headers.sqlite")
    plan = plan_catalog(found, as_png=True)
    victim = next(image.source for image in plan.planned if image.file.startswith("test/"))
    content = victim.read_bytes()
    victim.write_bytes(content.replace(b"MONOCHROME2 ", b"MONOCHROMEX "))
    list(write_dataset(tmp_path / "dataset", plan, phantoms, link="png"))
    assert Dataset.open(tmp_path / "dataset").protocol.endswith("7 of 8 test images")


@pytest.mark.parametrize("seed", range(2))
def test_one_file_for_two_patients_is_refused_with_any_seed(
    phantoms: Path, tmp_path: Path, edited: Callable[..., None], seed: int
) -> None:
    def add_second_patient(lines: list[str]) -> list[str]:
        patient = lines[1].split(",")[0]
        return [*lines[:2], lines[1].replace(f"{patient},", "P_99999,", 1), *lines[2:]]

    edited(CSV.format("mass", "train"), add_second_patient)
    with pytest.raises(DataError, match=r"P_\d+_\w+ and P_99999_\w+ have the same file"):
        protocol(phantoms, tmp_path, seed=seed)


def test_files_that_no_csv_names_show_that_half_a_csv_is_missing(
    phantoms: Path, tmp_path: Path, edited: Callable[..., None]
) -> None:
    assert not [one for one in read_all(phantoms, index=tmp_path / "i.sqlite").notices if one.kind == "unclaimed"]
    edited(CSV.format("mass", "train"), lambda lines: [line for line in lines if ",2,mass," not in line])
    found = read_all(phantoms, index=tmp_path / "i.sqlite")
    unclaimed = [one for one in found.notices if one.kind == "unclaimed"]
    assert [one.subject for one in unclaimed] == ["Mass-Training"]
    assert int(unclaimed[0].words.split()[0]) >= 2


def test_a_patient_in_two_folds_fails_the_audit(phantoms: Path, tmp_path: Path) -> None:
    found = read_catalog(phantoms, index=tmp_path / "headers.sqlite")
    plan = plan_catalog(found, split="kfold")
    check_invariants(plan)
    images = plan.images.copy()
    of_train = images.index[images["fold"].isin([2, 3])]
    patient = images.loc[of_train[0], "patient_id"]
    first = images.index[images["patient_id"] == patient][0]
    images.loc[first, "fold"] = 5 - images.loc[first, "fold"]
    with pytest.raises(DataError, match="no patient is in two folds"):
        check_invariants(replace(plan, images=images))


def test_folds_without_a_label_are_reported(phantoms: Path, tmp_path: Path) -> None:
    found = read_catalog(phantoms, index=tmp_path / "headers.sqlite")
    benign = found.lesions.assign(pathology="BENIGN")
    plan = plan_catalog(replace(found, lesions=benign), split="kfold")
    thin = [one for one in plan.notices if one.kind == "thin"]
    assert {one.subject for one in thin} == {*(f"fold {number}" for number in range(1, 6)), "test"}
    assert {one.words for one in thin} == {"no malignant image"}


@pytest.mark.parametrize("name", ["latest.csv", "contest of 2019.csv", "attested.csv"])
def test_a_file_name_that_only_contains_a_split_name_names_no_split(phantoms: Path, tmp_path: Path, name: str) -> None:
    (phantoms / CSV.format("mass", "train")).rename(phantoms / name)
    cases = read_all(phantoms, index=tmp_path / "headers.sqlite").cases
    assert set(cases.loc[cases["kind"] == "mass", "split"]) == {"train", "test"}


def test_other_csvs_are_not_taken_for_case_csvs(phantoms: Path, tmp_path: Path) -> None:
    (phantoms / "my results.csv").write_text("patient_id,pathology,prob\nP_00001,MALIGNANT,0.7\n")
    found = read_catalog(phantoms, index=tmp_path / "headers.sqlite")
    list(write_dataset(tmp_path / "dataset", plan_catalog(found), phantoms))
    again = read_all(phantoms, tmp_path / "dataset" / "masks", index=tmp_path / "headers.sqlite")
    assert {path.name for path in again.case_files} == {
        CSV.format(kind, split) for kind in KINDS for split in ("train", "test")
    }
