"""Kaggle's JPEG copy with dicom_info.csv, and without it by sizes and pixels."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.core.file_walk import walk_files
from tfm.data.dataset.dataset import Dataset
from tfm.data.sources.kaggle import read_jpeg_header
from tfm.imaging.read_image import has_at_most_two_values


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kaggle")
    phantom_download(folder, 8, 4, planted="arbitrary-order, mask-size", layout="kaggle")
    return folder


def masks(folder: Path, index: Path) -> dict[str, str]:
    lesions = read_catalog(folder, index=index).lesions
    names = lesions["patient_id"] + lesions["side"] + lesions["view"]
    return dict(zip(names, lesions["mask_file"].map(lambda path: Path(path).name), strict=True))


def test_without_dicom_info_size_tells_masks_from_crops(kaggle: Path, tmp_path: Path) -> None:
    known = masks(kaggle, tmp_path / "a.sqlite")
    bare = shutil.copytree(kaggle, tmp_path / "bare")
    (bare / "csv" / "dicom_info.csv").unlink()
    assert masks(bare, tmp_path / "b.sqlite") == known
    assert all(known.values())


def test_without_mammograms_and_dicom_info_pixels_tell_masks_from_crops(kaggle: Path, tmp_path: Path) -> None:
    known = read_catalog(kaggle, index=tmp_path / "a.sqlite").lesions
    bare = shutil.copytree(kaggle, tmp_path / "bare")
    (bare / "csv" / "dicom_info.csv").unlink()
    for path in known["image_file"]:
        (bare / Path(path).relative_to(kaggle)).unlink(missing_ok=True)
    found = read_catalog(bare, index=tmp_path / "b.sqlite").lesions
    for role in ("mask", "crop"):
        assert found[f"{role}_file"].map(lambda path: Path(path).name).tolist() == [
            Path(path).name for path in known[f"{role}_file"]
        ]


def test_phantoms_are_recognized_without_dicom_info(kaggle: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(kaggle, tmp_path / "bare")
    (bare / "csv" / "dicom_info.csv").unlink()
    found = read_catalog(bare, index=tmp_path / "headers.sqlite")
    assert found.synthetic
    assert plan_catalog(found).protocol.startswith("phantoms")


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_dicom_is_preferred_to_its_jpeg(kaggle: Path, tmp_path: Path, names: tuple[str, str]) -> None:
    phantom_download(tmp_path / names[0], 8, 4, planted="arbitrary-order, mask-size", layout="mirror")
    shutil.copytree(kaggle / "jpeg", tmp_path / names[1] / "jpeg")
    shutil.copy2(kaggle / "csv" / "dicom_info.csv", tmp_path / names[1])
    found = read_catalog(tmp_path / names[0], tmp_path / names[1], index=tmp_path / "headers.sqlite")
    arranged = plan_catalog(found)
    assert arranged.manifest["file"].str.endswith(".dcm").all()
    assert "JPEG" not in arranged.protocol


def test_an_image_is_its_jpeg_and_a_mask_has_no_grey_rim(kaggle: Path, tmp_path: Path) -> None:
    found = read_catalog(kaggle, index=tmp_path / "headers.sqlite")
    list(write_dataset(tmp_path / "d", plan_catalog(found), kaggle))
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.manifest["file"].str.endswith(".jpg").all()
    for row in dataset.manifest.itertuples():
        mask = cv2.imread(str(dataset.path(row.mask)), cv2.IMREAD_UNCHANGED)
        assert mask.shape == cv2.imread(str(dataset.path(row.file)), cv2.IMREAD_UNCHANGED).shape
        assert len(np.unique(mask)) == 2, "background and one lesion's class, no grey between"
        assert (mask > 0).mean() < 0.2


def test_a_truncated_jpeg_is_detected(kaggle: Path, tmp_path: Path) -> None:
    whole = next(path for path in sorted(kaggle.rglob("*.jpg"))).read_bytes()
    folder = tmp_path / "1.2.3.4"
    folder.mkdir()
    for kept in (0, 10, 300, len(whole) // 2, len(whole) - 2):
        (folder / "1-001.jpg").write_bytes(whole[:kept])
        assert read_jpeg_header(next(walk_files([folder]))).fault in ("damaged", "truncated"), kept
    (folder / "1-001.jpg").write_bytes(whole)
    assert read_jpeg_header(next(walk_files([folder]))).fault == ""


def test_a_table_without_a_required_column_is_named(kaggle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(kaggle, tmp_path / "copy")
    table = copy / "csv" / "dicom_info.csv"
    with open(table, newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "PatientID"} for row in csv.DictReader(file)]
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(DataError, match=r"dicom_info\.csv has no column PatientID"):
        read_catalog(copy, index=tmp_path / "headers.sqlite")


def test_paths_of_another_machine_lead_to_the_same_files(kaggle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(kaggle, tmp_path / "copy")
    table = copy / "csv" / "dicom_info.csv"
    text = table.read_text().replace("CBIS-DDSM/jpeg/", "D:\\\\data\\\\CBIS\\\\jpeg\\\\")
    assert "D:" in text
    table.write_text(text)
    assert masks(copy, tmp_path / "a.sqlite") == masks(kaggle, tmp_path / "b.sqlite")


def test_two_values_are_told_from_many_despite_jpeg_blur() -> None:
    lesion = np.zeros((200, 160), np.uint8)
    cv2.circle(lesion, (80, 90), 30, 255, -1)
    blurred = cv2.imdecode(cv2.imencode(".jpg", lesion, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_GRAYSCALE)
    assert has_at_most_two_values(lesion)
    assert has_at_most_two_values(blurred)
    assert has_at_most_two_values(np.zeros_like(lesion))
    assert not has_at_most_two_values(np.linspace(0, 65535, lesion.size).reshape(lesion.shape).astype(np.uint16))


def test_jpegs_outside_series_folders_are_ignored(kaggle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(kaggle, tmp_path / "copy")
    (copy / "holiday").mkdir()
    shutil.copy2(next(kaggle.rglob("*.jpg")), copy / "holiday" / "1-001.jpg")
    assert masks(copy, tmp_path / "a.sqlite") == masks(kaggle, tmp_path / "b.sqlite")
