"""Other collections than CBIS-DDSM, each from its own tables and files: recognised, read and organized."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest

from tests.data.small_collections import COLLECTIONS, write_csv
from tests.returned import returned
from tfm.core.errors import DataError, SettingsError, TFMError
from tfm.core.files import read_json
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.dataset_plan import plan_dataset
from tfm.data.dataset.invariants import check_invariants
from tfm.data.dataset.source_images import DatasetSettings, SourceImages
from tfm.data.dataset.writer import organize_dataset
from tfm.data.sources.collection import Listing, ReadingOptions
from tfm.data.sources.known_collections import find_collection
from tfm.imaging.read_image import read_pixels

PATIENTS = {  # of an image of each collection, as the manifest names them
    "cmmd": "cmmd:D1-0001",
    "inbreast": "inbreast:0000000000000001",
    "vindr-mammo": f"vindr-mammo:{1:032x}",
    "mias": "mias:001-002",
    "own": "own:P1",
}


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("collections")
    for name, write in COLLECTIONS.items():
        write(home / name)
    return home


@pytest.fixture
def changed(downloads: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a download that a test may change."""
    return lambda name: Path(shutil.copytree(downloads / name, tmp_path / name))


def read(*folders: Path, collection: str = "auto", csv: tuple[Path, ...] = (), **options: Any) -> SourceImages:
    listing = Listing(folders, csv, folders[0].parent / "headers.sqlite")
    return returned(find_collection(collection, listing).read(listing, ReadingOptions(**options)))


def organize(source: SourceImages, folder: Path, download: Path, *, split: str = "random") -> Dataset:
    plan = plan_dataset(source, DatasetSettings(split, 0.25, 0, as_png=False))
    list(organize_dataset(folder, plan, downloads=[download], link="hard", version=1))
    return Dataset.open(folder)


def refuse(*folders: Path, **options: Any) -> str:
    with pytest.raises(TFMError) as caught:
        read(*folders, **options)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_is_recognised_and_becomes_a_dataset(name: str, downloads: Path, tmp_path: Path) -> None:
    source = read(downloads / name)
    assert source.facts.name == name
    has_test = source.has_test_images()
    dataset = organize(source, tmp_path / "dataset", downloads / name, split="official" if has_test else "random")
    assert source.facts.labels in dataset.protocol
    account = read_json(dataset.folder / "audit.json")
    assert account["leaks"] == 0
    assert account["collection"]["citation"] == source.facts.citation
    assert account["splits"]["test"]["malignant"] > 0
    rows = dataset.manifest[dataset.manifest["patient_id"] == PATIENTS[name]]
    assert "malignant" in set(rows["label"])
    assert set(rows["image_id"].str.partition(":")[0]) == {name}
    for file in rows["file"]:
        assert ":" not in file, "some disks allow no colon"
        assert read_pixels(dataset.path(file)).ndim == 2
    left_out = {one["subject"] for one in account["findings"] if one["kind"] == "left-out"}
    assert left_out | set(dataset.manifest["image_id"]) == source.list_images()


def test_the_other_breast_of_cmmd_has_no_label_and_is_left_out(downloads: Path) -> None:
    table = read(downloads / "cmmd").table
    assert set(table.loc[table["side"] == "RIGHT", "excluded"]) == {"the breast without biopsy, so without label"}
    assert set(table.loc[table["side"] == "LEFT", "label"]) == {"benign", "malignant"}
    assert set(table["view"]) == {"CC", "MLO"}


def test_birads_3_is_left_out_and_4a_is_malignant(downloads: Path) -> None:
    table = read(downloads / "inbreast").table.set_index("patient_id")
    assert set(table.loc[f"inbreast:{10:016x}", "excluded"]) == {"BI-RADS 3: probably benign, not verified"}
    assert set(table.loc[f"inbreast:{9:016x}", "label"]) == {"malignant"}
    assert set(read(downloads / "vindr-mammo").table.groupby("excluded").size()) == {18, 2}


def test_vindr_keeps_its_published_test_set(downloads: Path, tmp_path: Path) -> None:
    source = read(downloads / "vindr-mammo")
    dataset = organize(source, tmp_path / "dataset", downloads / "vindr-mammo", split="official")
    assert set(dataset.select_images("test")["patient_id"]) == {f"vindr-mammo:{n:032x}" for n in (8, 9, 10)}


def test_circles_of_mias_become_masks_with_y_counted_from_below(downloads: Path, tmp_path: Path) -> None:
    source = read(downloads / "mias")
    dataset = organize(source, tmp_path / "dataset", downloads / "mias")
    rows = dataset.manifest.set_index("image_id")
    circle = read_pixels(dataset.path(rows.loc["mias:001-002_RIGHT_MLO", "mask"]))
    inside = np.argwhere(circle)
    assert inside.mean(axis=0) == pytest.approx([1024 - 700, 400])
    assert inside.min(axis=0).tolist() == [324 - 50, 350]
    two = read_pixels(dataset.path(rows.loc["mias:003-004_RIGHT_MLO", "mask"]))
    assert set(np.unique(two)) == {0, 4, 5}, "a benign calcification and a malignant mass"
    assert rows.loc["mias:003-004_RIGHT_MLO", "label"] == "malignant"
    assert rows.loc["mias:007-008_RIGHT_MLO", "mask"] == "", "its calcifications are spread over the breast"
    assert rows.loc["mias:001-002_LEFT_MLO", "label"] == "benign"
    assert "normal counts as benign" in dataset.protocol


def test_normal_films_of_mias_can_be_left_out(downloads: Path) -> None:
    source = read(downloads / "mias", without_finding="left out")
    assert int((source.table["excluded"] != "").sum()) == 10
    assert source.parts == ("normal left out",)


def test_own_folders_need_to_know_the_patient(downloads: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for number in range(1, 11):
        folder = own / ("test" if number > 6 else "train") / ("malignant" if number % 2 else "benign")
        folder.mkdir(parents=True, exist_ok=True)
        for view in ("cc", "mlo"):
            shutil.copy(downloads / "own" / "images" / f"p{number}_{view}.png", folder / f"P{number}_R_{view}.png")
    words = refuse(own)
    assert all(way in words for way in ("patient_id", "{patient}_{side}_{view}", "header")), "the three ways"
    assert "no pattern" in refuse(own, patient_from="{woman}_{view}")
    assert "does not match" in refuse(own, patient_from="{patient}-{view}")
    assert "header names no patient" in refuse(own, patient_from="header")
    source = read(own, patient_from="{patient}_{side}_{view}")
    dataset = organize(source, tmp_path / "dataset", own, split="official")
    assert dataset.protocol.startswith("given split, own images")
    row = dataset.manifest.iloc[0]
    assert (row["image_id"], row["patient_id"], row["side"]) == ("own:P10_RIGHT_CC", "own:P10", "RIGHT")
    shutil.copytree(own / "test" / "benign", own / "train" / "benign", dirs_exist_ok=True)
    assert "in two splits: P10, P8" in refuse(own, patient_from="{patient}_{side}_{view}")


def test_the_patient_of_an_own_image_can_come_from_the_header(downloads: Path, tmp_path: Path) -> None:
    for number, label in ((1, "malignant"), (2, "benign")):
        series = downloads / "cmmd" / "CMMD" / f"D1-{number:04}"
        shutil.copytree(series, tmp_path / "own" / label / f"case {number}")
    table = read(tmp_path / "own", collection="own", patient_from="header").table
    assert sorted(set(table["patient_id"])) == ["own:D1-0001", "own:D1-0002"]
    assert set(table["view"]) == {"CC", "MLO"}


def test_a_given_validation_set_is_kept(changed: Callable[[str], Path], tmp_path: Path) -> None:
    own = changed("own")
    rows = [["file", "patient", "label", "split"]]
    for number in range(1, 11):
        split = "test" if number > 8 else "valid" if number > 6 else "train"
        rows += [[f"images/p{number}_{view}.png", f"P{number}", number % 2, split] for view in ("cc", "mlo")]
    write_csv(own / "labels.csv", rows)
    dataset = organize(read(own), tmp_path / "dataset", own, split="official")
    assert set(dataset.select_images("val")["patient_id"]) == {"own:P7", "own:P8"}


def edit(own: Path, *changes: tuple[str, str]) -> Path:
    text = (own / "labels.csv").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (own / "labels.csv").write_text(text)
    return own


OWN_MISTAKES = {
    "unknown label": ([("P1,cancer", "P1,perhaps")], 'row 2: "perhaps" is no known label'),
    "duplicate row": ([("images/p2_cc", "images/p1_cc")], "several rows for images/p1_cc.png: rows 2, 4"),
    "unknown side": ([("left", "both")], 'row 2: "both" is no known side'),
    "no label": ([("Label", "Note")], "is of no collection that is known"),
    "no patient": ([("P1,cancer", ",cancer")], "the patient is unknown for 1 of 20 images"),
}


@pytest.mark.parametrize("mistake", OWN_MISTAKES)
def test_mistakes_in_an_own_table_are_refused_by_name(mistake: str, changed: Callable[[str], Path]) -> None:
    changes, words = OWN_MISTAKES[mistake]
    assert words in refuse(edit(changed("own"), *changes))


def test_files_that_are_missing_or_damaged_are_listed_and_left_out(
    changed: Callable[[str], Path], tmp_path: Path
) -> None:
    own = changed("own")
    (own / "images" / "p1_cc.png").unlink()
    (own / "images" / "p2_cc.png").write_bytes(b"no image")
    whole = (own / "images" / "p3_cc.png").read_bytes()
    (own / "images" / "p3_cc.png").write_bytes(whole[:-100])
    dataset = organize(read(own), tmp_path / "dataset", own)
    findings = read_json(dataset.folder / "audit.json")["findings"]
    assert {one["kind"]: one["subject"] for one in findings if one["kind"] != "left-out"} == {
        "missing": "own:P1_LEFT_CC", "unreadable": "own:P2_LEFT_CC", "truncated": "own:P3_LEFT_CC",
    }  # fmt: skip
    assert len(dataset.manifest) == 17


def test_a_table_is_missing_or_lacks_columns_or_contradicts_itself(changed: Callable[[str], Path]) -> None:
    cmmd = changed("cmmd")
    book = openpyxl.load_workbook(cmmd / "CMMD_clinicaldata_revision.xlsx")
    book.active.append(["D1-0001", "L", 41, 2, "mass", "Benign", None])
    book.save(cmmd / "CMMD_clinicaldata_revision.xlsx")
    assert "row 12: D1-0001 LEFT has another row" in refuse(cmmd)
    book.active["F1"] = "class"
    book.save(cmmd / "CMMD_clinicaldata_revision.xlsx")
    assert 'has no column "classification"' in refuse(cmmd)
    (cmmd / "CMMD_clinicaldata_revision.xlsx").write_bytes(b"PK no spreadsheet")
    assert "cannot be read as a spreadsheet" in refuse(cmmd)
    (cmmd / "CMMD_clinicaldata_revision.xlsx").unlink()
    assert "CMMD_clinicaldata_revision.xlsx" in refuse(cmmd), "it says what to get"


def test_a_download_of_two_collections_must_be_named(downloads: Path) -> None:
    assert "several collections: CMMD and MIAS" in refuse(downloads / "cmmd", downloads / "mias")
    assert read(downloads / "cmmd", downloads / "mias", collection="mias").facts.name == "mias"


def test_collections_without_a_published_test_set_are_split_at_random(downloads: Path) -> None:
    with pytest.raises(SettingsError, match="official split is impossible"):
        plan_dataset(read(downloads / "mias"), DatasetSettings("official", 0.25, 0, as_png=False))


def test_a_wrong_label_and_a_lost_image_are_noticed_before_anything_is_written(downloads: Path) -> None:
    plan = plan_dataset(read(downloads / "mias"), DatasetSettings("random", 0.25, 0, as_png=False))
    check_invariants(plan)
    with pytest.raises(DataError, match="malignant exactly if its table says so"):
        check_invariants(replace(plan, images=plan.images.assign(label="benign")))
    with pytest.raises(DataError, match="every image of the tables"):
        check_invariants(replace(plan, images=plan.images.iloc[1:]))


@pytest.mark.long
def test_ten_thousand_own_images_are_organized_in_15_seconds(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    rng = np.random.default_rng(0)
    rows = [["file", "patient_id", "label"]]
    for number in range(10_000):
        cv2.imwrite(str(own / f"{number}.png"), rng.integers(0, 255, (64, 48), np.uint8))
        rows.append([f"{number}.png", f"P{number // 4}", str(number // 4 % 2)])
    write_csv(own / "labels.csv", rows)
    start = time.process_time()  # others may use the machine
    assert len(organize(read(own), tmp_path / "dataset", own).manifest) == 10_000
    assert time.process_time() - start < 15


def test_a_table_and_file_names_that_disagree_about_a_patient_are_refused(changed: Callable[[str], Path]) -> None:
    own = changed("own")
    read(own, patient_from="{patient}_{view}")
    table = own / "labels.csv"
    table.write_text(table.read_text().replace("p1_cc.png,P1,", "p1_cc.png,P2,"))
    assert "p1_cc.png (P2 and p1)" in refuse(own, patient_from="{patient}_{view}")
