"""A phantom download with every trap, organized: right, restartable, and with the download left as it was."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from tests.data.downloads import plan_catalog, read_cases_below, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.core.files import read_json
from tfm.data.dataset.dataset import MANIFEST_COLUMNS, Dataset
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.lesion_classes import MASK_CLASSES
from tfm.data.download.match_files import Catalog
from tfm.data.phantom import mammogram
from tfm.data.phantom.download_plan import DownloadPlan

IN_WORDS = {
    ("mass", "BENIGN_WITHOUT_CALLBACK"): "mass without callback",
    ("calc", "BENIGN_WITHOUT_CALLBACK"): "calcification without callback",
    ("mass", "BENIGN"): "benign mass",
    ("calc", "BENIGN"): "benign calcification",
    ("mass", "MALIGNANT"): "malignant mass",
    ("calc", "MALIGNANT"): "malignant calcification",
}


@dataclass(frozen=True)
class Intake:
    folder: Path  # the download
    plan: DownloadPlan  # the truth about it
    cases: pd.DataFrame
    catalog: Catalog

    def arrangement(self, **other: object) -> DatasetPlan:
        return plan_catalog(self.catalog, **other)


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Intake:
    folder = tmp_path_factory.mktemp("download")
    plan = phantom_download(folder, 16, 6, planted="all", seed=3)
    index = tmp_path_factory.mktemp("index") / "headers.sqlite"
    return Intake(folder, plan, read_cases_below(folder), read_catalog(folder, index=index))


@pytest.fixture(scope="module")
def organized(intake: Intake, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("workspace") / "dataset"
    list(writing(intake, folder))
    return Dataset.open(folder)


def writing(intake: Intake, folder: Path, link: str = "hard", **other: object) -> Iterator[tuple[int, int]]:
    plan = intake.arrangement(**other, as_png=link == "png")
    return write_dataset(folder, plan, intake.folder, link=link)


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def findings(organized: Dataset, kind: str) -> set[str]:
    return {
        found["subject"] for found in read_json(organized.folder / "audit.json")["findings"] if found["kind"] == kind
    }


def test_the_manifest_keeps_its_contract(organized: Dataset) -> None:
    header = (organized.folder / "manifest.csv").read_text().splitlines()[0]
    assert (
        header
        == "image_id,patient_id,side,view,kind,split,label,density,assessment,subtlety,file,mask,sop_uid,lesions,fold"
    )
    assert tuple(organized.manifest.columns) == MANIFEST_COLUMNS
    assert organized.manifest["image_id"].is_monotonic_increasing
    assert organized.manifest["image_id"].is_unique
    on_disk = {str(path.relative_to(organized.folder)) for path in organized.folder.rglob("*.dcm")}
    assert on_disk == set(organized.manifest["file"])
    for row in organized.manifest.itertuples():
        assert row.file == f"{row.split}/{row.label}/{row.image_id}.dcm"
        assert str(pydicom.dcmread(organized.path(row.file), stop_before_pixels=True).SOPInstanceUID) == row.sop_uid


def test_every_image_of_the_csvs_is_in_the_manifest_or_left_out_by_name(intake: Intake, organized: Dataset) -> None:
    promised = {"_".join(view) for view in zip(*(intake.cases[c] for c in ("patient_id", "side", "view")), strict=True)}
    assert promised == set(organized.manifest["image_id"]) | findings(organized, "left-out")
    assert not set(organized.manifest["image_id"]) & findings(organized, "left-out")


def test_labels_are_those_of_all_lesions_of_the_scan(intake: Intake, organized: Dataset) -> None:
    malignant: dict[str, bool] = {}
    for drawn in intake.plan.mammograms:
        name = f"{drawn.exposure.patient}_{drawn.exposure.side}_{drawn.exposure.view}"
        any_here = any(finding.pathology == "MALIGNANT" for finding in drawn.findings)
        malignant[name] = malignant.get(name, False) or any_here
    for row in organized.manifest.itertuples():
        assert (row.label == "malignant") == malignant[row.image_id], row.image_id


def test_labels_by_the_first_row_differ(intake: Intake, organized: Dataset) -> None:
    key = ["patient_id", "side", "view"]
    first = intake.cases.sort_values("lesion_id").drop_duplicates(key)
    merged = organized.manifest.merge(first[[*key, "pathology"]], on=key)
    assert ((merged["label"] == "malignant") != (merged["pathology"] == "MALIGNANT")).any()


def test_a_patient_of_both_official_splits_is_only_tested(intake: Intake, organized: Dataset) -> None:
    splits = intake.cases.groupby("patient_id")["split"].nunique()
    both = set(splits.index[splits > 1])
    assert both
    assert set(organized.manifest[organized.manifest["patient_id"].isin(both)]["split"]) == {"test"}


def test_a_scan_issued_twice_is_one_image_of_both_kinds(intake: Intake, organized: Dataset) -> None:
    issues = intake.cases.groupby(["patient_id", "side", "view"])["kind"].nunique()
    twins = {"_".join(view) for view in issues.index[issues > 1]}
    assert twins
    assert twins == findings(organized, "twin")
    assert set(organized.manifest[organized.manifest["kind"] == "mass+calc"]["image_id"]) == twins


def test_masks_show_each_lesion_in_its_class_at_the_mammograms_size(intake: Intake, organized: Dataset) -> None:
    rows = organized.manifest.set_index("image_id")
    expected: dict[str, np.ndarray] = {}
    resized = set()
    for drawn in intake.plan.mammograms:
        name = f"{drawn.exposure.patient}_{drawn.exposure.side}_{drawn.exposure.view}"
        if name in rows.index and rows.loc[name, "mask"]:
            truth = mammogram.draw_mammogram(drawn.exposure)
            classes = expected.setdefault(name, np.zeros(truth.image.shape, np.uint8))
            for finding in drawn.findings:
                value = MASK_CLASSES.index(IN_WORDS[drawn.kind, finding.pathology])
                np.maximum(
                    classes, np.where(truth.lesion_masks[finding.lesion], value, 0).astype(np.uint8), out=classes
                )
                resized |= {name} if finding.mask_scale != 1 else set()
    assert {value for classes in expected.values() for value in np.unique(classes)} == set(range(7))
    assert set(expected) == set(rows.index[rows["mask"] != ""])
    assert resized
    assert set(expected) - resized
    for name, classes in expected.items():
        mask = cv2.imread(str(organized.path(rows.loc[name, "mask"])), cv2.IMREAD_UNCHANGED)
        pixels = pydicom.dcmread(organized.path(rows.loc[name, "file"])).pixel_array
        assert (mask.dtype, mask.shape) == (np.uint8, pixels.shape)
        if name in resized:  # smaller on disk: each class within two pixels of where it was drawn
            for value in (1, 2, 3):
                near = cv2.dilate((classes == value).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
                assert not (mask == value)[~near].any(), name
            assert (mask > 0).sum() == pytest.approx((classes > 0).sum(), rel=0.2)
        else:
            assert np.array_equal(mask, classes), name


def test_the_audit_counts_the_files_of_the_dataset(intake: Intake, organized: Dataset) -> None:
    account = read_json(organized.folder / "audit.json")
    manifest = organized.manifest
    assert account["leaks"] == 0
    assert account["split_hash"] == organized.split_hash
    assert account["protocol"].startswith("phantoms, official, mass+calc, union labels (")
    for split, counts in account["splits"].items():
        rows = manifest[manifest["split"] == split]
        assert counts["women"] == rows["patient_id"].nunique()
        assert counts["images"] == counts["benign"] + counts["malignant"] == len(rows)
    promised = sum(counts["lesions_promised"] for counts in account["download"].values())
    assert promised == len(intake.cases)
    text = (organized.folder / "audit.md").read_text()
    assert all(found["words"] in text for found in account["findings"])


def test_stopped_anywhere_and_started_again_the_tree_is_byte_identical(
    intake: Intake, organized: Dataset, tmp_path: Path
) -> None:
    for stop in (1, 17, 10_000):
        for done, _ in writing(intake, tmp_path):
            if done == stop:
                break
        if stop < 10_000:
            assert not (tmp_path / "manifest.csv").exists()
            (tmp_path / "masks" / ".P_00001_LEFT_CC.png.0a1b.tmp").write_bytes(b"half a mask")
    assert tree(tmp_path) == tree(organized.folder)


def test_existing_files_are_not_made_again(intake: Intake, tmp_path: Path) -> None:
    list(writing(intake, tmp_path))
    made = {path: path.stat().st_ino for path in tmp_path.glob("masks/*.png")}
    list(writing(intake, tmp_path))
    assert {path: path.stat().st_ino for path in tmp_path.glob("masks/*.png")} == made


@pytest.mark.parametrize("other", [{"split": "random"}, {"seed": 8}, {"without_callback": "left out"}])
def test_an_earlier_plan_leaves_nothing_behind(intake: Intake, tmp_path: Path, other: dict[str, str]) -> None:
    list(writing(intake, tmp_path / "fresh", **other))
    next(writing(intake, tmp_path / "used"))
    list(writing(intake, tmp_path / "used"))
    (tmp_path / "used" / "train" / "benign" / "my notes.txt").write_text("not ours")
    list(writing(intake, tmp_path / "used", **other))
    assert (tmp_path / "used" / "train" / "benign" / "my notes.txt").read_text() == "not ours"
    (tmp_path / "used" / "train" / "benign" / "my notes.txt").unlink()
    assert tree(tmp_path / "used") == tree(tmp_path / "fresh")


def test_one_kind_after_both_makes_its_masks_anew(intake: Intake, tmp_path: Path) -> None:
    found = read_catalog(intake.folder, index=tmp_path / "index" / "headers.sqlite", kinds=("mass",))
    mass = Intake(intake.folder, intake.plan, intake.cases, found)
    list(writing(mass, tmp_path / "fresh"))
    list(writing(intake, tmp_path / "used"))
    list(writing(mass, tmp_path / "used"))
    assert tree(tmp_path / "used") == tree(tmp_path / "fresh")
    assert set(Dataset.open(tmp_path / "used").manifest["kind"]) == {"mass"}


@pytest.mark.parametrize("link", ["hard", "symlink", "copy"])
def test_every_link_mode_gives_the_same_dataset(intake: Intake, organized: Dataset, tmp_path: Path, link: str) -> None:
    list(writing(intake, tmp_path, link="copy" if link == "hard" else "hard"))
    list(writing(intake, tmp_path, link=link))
    dataset = Dataset.open(tmp_path)
    assert dataset.content_hash == organized.content_hash
    file = dataset.path(dataset.manifest["file"][0])
    assert (file.is_symlink(), file.stat().st_nlink > 1) == {
        "hard": (False, True), "symlink": (True, file.stat().st_nlink > 1), "copy": (False, False)
    }[link]  # fmt: skip
    assert read_json(tmp_path / "audit.json")["files"] == {link: len(dataset.manifest)}
    assert file.read_bytes() == organized.path(dataset.manifest["file"][0]).read_bytes()


def test_another_disk_gets_copies_and_the_audit_reports_them(intake: Intake) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == intake.folder.stat().st_dev:
        pytest.skip("no second disk here")
    folder = other / f"tfm-test-{os.getpid()}"
    try:
        for _ in range(2):
            list(writing(intake, folder))
            assert read_json(folder / "audit.json")["files"] == {"copy": len(Dataset.open(folder).manifest)}
    finally:
        shutil.rmtree(folder)


def test_the_download_is_never_written_to(intake: Intake, tmp_path: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in intake.folder.rglob("*")}
    list(writing(intake, tmp_path))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in intake.folder.rglob("*")} == before


@pytest.mark.parametrize("place", ["inside", "same", "around"])
def test_a_dataset_and_its_download_may_not_be_nested(intake: Intake, place: str) -> None:
    folder = {"inside": intake.folder / "dataset", "same": intake.folder, "around": intake.folder.parent}[place]
    with pytest.raises(DataError, match="are nested"):
        next(writing(intake, folder))
    assert not (intake.folder / "dataset").exists()


def test_images_without_callback_can_be_left_out(intake: Intake, organized: Dataset) -> None:
    cases = intake.cases.assign(name=intake.cases[["patient_id", "side", "view"]].agg("_".join, axis=1))
    called_back = set(cases.loc[cases["pathology"] != "BENIGN_WITHOUT_CALLBACK", "name"])
    without = intake.arrangement(without_callback="left out")
    gone = set(organized.manifest["image_id"]) - set(without.manifest["image_id"])
    assert gone == set(organized.manifest["image_id"]) - called_back
    assert gone
    assert "without-callback left out" in without.protocol


def test_a_test_twin_whose_file_is_lost_is_read_from_its_other_issue(intake: Intake) -> None:
    lesions = intake.catalog.lesions.copy()
    twin = next(found.subject for found in intake.arrangement().notices if found.kind == "twin")
    name = lesions["patient_id"] + "_" + lesions["side"] + "_" + lesions["view"]
    standing = intake.arrangement().manifest.set_index("image_id").loc[twin, "sop_uid"]
    lost = lesions["image_sop"] == standing
    other = lesions.loc[(name == twin) & ~lost, "image_sop"].iloc[0]
    lesions.loc[lost, ["image_file", "image_sop"]] = ""
    plan = plan_catalog(replace(intake.catalog, lesions=lesions, notices=[]))
    assert plan.manifest.set_index("image_id").loc[twin, "sop_uid"] == other
    assert [found.subject for found in plan.notices if found.kind == "repaired"] == [twin]


def test_csvs_without_any_of_their_mammograms_are_refused(intake: Intake) -> None:
    lesions = intake.catalog.lesions.assign(image_file="")
    with pytest.raises(DataError, match="none of the mammograms"):
        plan_catalog(replace(intake.catalog, lesions=lesions, notices=[]))


def test_a_folder_that_is_no_dataset_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Dataset.open(tmp_path)
    assert "organize" in caught.value.hint


def test_a_manifest_edited_into_a_leak_is_refused(organized: Dataset, tmp_path: Path) -> None:
    table = pd.read_csv(organized.folder / "manifest.csv", dtype=str)
    both_views = table["patient_id"] == table["patient_id"].mode()[0]
    table.loc[table[both_views].index[0], "split"] = "test"
    table.loc[table[both_views].index[1:], "split"] = "train"
    table.to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(DataError, match="more than one split"):
        Dataset.open(tmp_path)
