"""Real files of TCIA and real mammograms: what the program says of them is what an independent count says."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from tests.data.downloads import KINDS, parse_manifest, plan_catalog, read_all, write_dataset
from tests.data.real_mammograms import find_mammograms, needs_mammograms, write_download
from tfm.core.files import read_json
from tfm.data.dataset.dataset import Dataset
from tfm.data.download.read_download import DownloadContents, build_catalog


def organized(home: Path, download: Path, **chosen: object) -> Dataset:
    return write(home, download, read_all(download, index=home / "headers.sqlite"), **chosen)


def write(home: Path, download: Path, found: DownloadContents, **chosen: object) -> Dataset:
    catalog = build_catalog(found, KINDS)
    list(write_dataset(home / "dataset", plan_catalog(catalog, **chosen), download))
    return Dataset.open(home / "dataset")


@pytest.fixture(scope="module")
def partial(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DownloadContents:
    """Some files of TCIA's, with its tables of all of them."""
    index = tmp_path_factory.mktemp("index") / "headers.sqlite"
    return read_all(shared_data / "tree", csvs=(shared_data / "csv",), index=index)


def real_files(tree: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(tree.rglob("*.dcm"))]


def test_a_partial_tree_of_tcias_own_files_gives_the_images_it_has(
    shared_data: Path, partial: DownloadContents, tmp_path: Path
) -> None:
    files = real_files(shared_data / "tree")
    crops = [file for file in files if file.SeriesDescription == "cropped images"]
    assert (len(files), len(crops)) == (13, 12)
    dataset = write(tmp_path, shared_data / "tree", partial, images="crops")
    assert set(dataset.manifest["sop_uid"]) == {file.SOPInstanceUID for file in crops}
    account = read_json(dataset.folder / "audit.json")
    assert sum(counts["images_found"] for counts in account["download"].values()) == 1
    assert sum(counts["crops_found"] for counts in account["download"].values()) == 12
    assert sum(counts["masks_found"] for counts in account["download"].values()) == 0
    assert {found["subject"] for found in account["findings"] if found["kind"] == "thin"} == {"train", "val"}


def test_missing_tcia_and_the_tree_are_the_whole_collection(
    shared_data: Path, partial: DownloadContents, tmp_path: Path
) -> None:
    """Fetched besides, the 12 crops' series come again, since the masks in them are not here."""
    files = real_files(shared_data / "tree")
    dataset = write(tmp_path, shared_data / "tree", partial)
    asked = set(parse_manifest((dataset.folder / "missing.tcia").read_text()))
    everything = set(parse_manifest(next((shared_data / "csv").glob("*.tcia")).read_text()))
    assert asked < everything
    here = {file.SeriesInstanceUID for file in files}
    assert asked | here == everything
    alone = {
        file.SeriesInstanceUID
        for file in files
        if file.SeriesDescription != "cropped images" or _is_alone(shared_data, file.SeriesInstanceUID)
    }
    assert everything - asked == alone


def _is_alone(shared_data: Path, series: str) -> bool:
    with open(shared_data / "csv" / "metadata.csv", newline="") as file:
        return next(row["Number of Images"] == "1" for row in csv.DictReader(file) if row["Series UID"] == series)


@needs_mammograms
@pytest.mark.parametrize("is_named_by", ["headers", "folders"])
def test_compressed_mammograms_of_cbis_ddsm_are_matched_with_their_cases(is_named_by: str, tmp_path: Path) -> None:
    download = write_download(tmp_path / "download")
    if is_named_by == "folders":
        for link in download.rglob("*.dcm"):
            header = pydicom.dcmread(link, stop_before_pixels=True)
            link.unlink()
            header.PixelData = encapsulate([bytes(100)])
            header["PixelData"].VR = "OB"
            for name in ("PatientID", "Laterality", "PatientOrientation"):
                delattr(header, name)
            header.save_as(link)
    dataset = organized(tmp_path, download)
    assert set(dataset.manifest["image_id"]) == set(find_mammograms())
    for row in dataset.manifest.to_dict("records"):
        is_malignant = (row["patient_id"], row["side"]) == ("P_00820", "LEFT")
        assert (row["split"], row["label"]) == ("test", "malignant" if is_malignant else "benign")
    assert dataset.protocol == "official, mass"
    kinds = {found["kind"] for found in read_json(dataset.folder / "audit.json")["findings"]}
    assert kinds <= {"missing", "thin", "no-csv", "note"}, "masks, crops, and three CSVs"


@pytest.fixture(scope="module")
def mini(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    home = tmp_path_factory.mktemp("mini")
    tool = shared_data.parent / "tools" / "mini_cbis.py"
    subprocess.run([sys.executable, tool, home / "download", "--limit", "150"], check=True, capture_output=True)
    return home, organized(home, home / "download", split="random")


def test_real_labels_agree_with_an_independent_count(shared_data: Path, mini: tuple[Path, Dataset]) -> None:
    with open(shared_data / "mass256" / "labels.csv", newline="") as file:
        truth = {f"{row['patient_id']}_{row['side']}_{row['view']}": row["label"] for row in csv.DictReader(file)}
    _, dataset = mini
    labels = dict(zip(dataset.manifest["image_id"], dataset.manifest["label"], strict=True))
    assert len(labels) == 150
    assert {name: label.upper() for name, label in labels.items()} == {name: truth[name] for name in labels}
    assert dataset.protocol == "random (seed 7), mass"


def test_masks_of_real_mammograms_are_where_the_source_has_them(shared_data: Path, mini: tuple[Path, Dataset]) -> None:
    _, dataset = mini
    assert (dataset.manifest["mask"] != "").all()
    for row in dataset.manifest[::10].itertuples():
        source = shared_data / "mass256" / "masks" / f"Mass-Training_{row.image_id}.png"
        expected = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE) > 0
        found = cv2.imread(str(dataset.path(row.mask)), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found > 0, expected[:, ::-1] if row.side == "RIGHT" else expected), row.image_id
