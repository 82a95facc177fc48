"""Files are matched to lesions by their headers, not by file names, file order or CSV columns."""

from pathlib import Path

import pandas as pd
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tfm.core.errors import DataError
from tfm.data.download.find_files import scan_folders
from tfm.data.download.header_index import read_headers
from tfm.data.download.match_files import Catalog, match_files

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
VIEW = "Mass-Training_P_00001_LEFT_CC"
NO_CROP = "the crop is not in the download"
FULL, MASK, CROP = (60, 40, 16), (60, 40, 8), (12, 10, 16)  # rows, columns, bits


def write_dicom(path: Path, subject: str, series: str, form: tuple[int, int, int]) -> Path:
    rows, columns, bits = form
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = f"{series}.{path.stem.replace('-', '.')}"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    found = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    found.StudyInstanceUID, found.SeriesInstanceUID, found.PatientID = "1.2.8", series, subject
    found.Rows, found.Columns, found.BitsAllocated, found.BitsStored, found.HighBit = (
        rows,
        columns,
        bits,
        bits,
        bits - 1,
    )
    found.SamplesPerPixel, found.PixelRepresentation, found.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    found.PixelData = bytes(rows * columns * bits // 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path


def one_lesion(image: str = "1.2.1", crop: str = "1.2.2", mask: str = "1.2.2") -> pd.DataFrame:
    row = {"kind": "mass", "split": "train", "patient_id": "P_00001", "side": "LEFT", "view": "CC", "lesion_id": 1}
    row |= {"pathology": "BENIGN", "density": 2, "assessment": 4, "subtlety": 3}
    return pd.DataFrame([row | {"image_series": image, "crop_series": crop, "mask_series": mask}])


def catalog_of(folder: Path, cases: pd.DataFrame) -> Catalog:
    return match_files(cases, read_headers(scan_folders([folder]).images, folder / "index" / "headers.sqlite"))


def list_notices(catalog: Catalog) -> list[tuple[str, str]]:
    """Without the crops, which most of these little downloads leave away."""
    return [(found.kind, found.words) for found in catalog.notices if found.words != NO_CROP]


def kinds_of(catalog: Catalog) -> list[str]:
    return [kind for kind, _ in list_notices(catalog)]


@pytest.mark.parametrize(("mask_name", "crop_name"), [("1-1.dcm", "1-2.dcm"), ("1-2.dcm", "1-1.dcm")])
def test_a_mask_is_recognized_by_bit_depth_and_size_in_either_order(
    tmp_path: Path, mask_name: str, crop_name: str
) -> None:
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    mask = write_dicom(tmp_path / "roi" / mask_name, f"{VIEW}_1", "1.2.2", MASK)
    write_dicom(tmp_path / "roi" / crop_name, f"{VIEW}_1", "1.2.2", CROP)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["mask_file"].tolist() == [str(mask)]
    assert list_notices(catalog) == []


def test_swapped_crop_and_mask_columns_do_no_harm(tmp_path: Path) -> None:
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    mask = write_dicom(tmp_path / "a" / "1-1.dcm", f"{VIEW}_1", "1.2.2", MASK)
    write_dicom(tmp_path / "b" / "1-1.dcm", f"{VIEW}_1", "1.2.3", CROP)
    catalog = catalog_of(tmp_path, one_lesion(crop="1.2.2", mask="1.2.3"))
    assert catalog.lesions["mask_file"].tolist() == [str(mask)]


@pytest.mark.parametrize("form", [(60, 40, 16), (12, 10, 8)])
def test_a_16_bit_or_crop_sized_file_is_not_a_mask(tmp_path: Path, form: tuple[int, int, int]) -> None:
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    write_dicom(tmp_path / "roi" / "1-1.dcm", f"{VIEW}_1", "1.2.2", form)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["mask_file"].tolist() == [""]
    assert kinds_of(catalog) == ["missing"]


def test_a_mask_of_another_size_is_used_and_reported(tmp_path: Path) -> None:
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    write_dicom(tmp_path / "roi" / "1-1.dcm", f"{VIEW}_1", "1.2.2", (52, 35, 8))
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["mask_file"].ne("").all()
    assert list_notices(catalog) == [("mask-size", "52 × 35, its mammogram 60 × 40")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_truncated_file_is_never_used_as_an_image(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    whole = path.read_bytes()
    for kept in [*range(0, 620, 3), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:kept])
        catalog = catalog_of(tmp_path, one_lesion())
        assert catalog.lesions["image_file"].tolist() == [""], kept
        assert {"truncated", "unreadable"} & set(kinds_of(catalog)), kept
    path.write_bytes(whole)
    assert catalog_of(tmp_path, one_lesion()).lesions["image_file"].tolist() == [str(path)]


def test_a_complete_copy_replaces_a_truncated_file(tmp_path: Path) -> None:
    cut = write_dicom(tmp_path / "a" / "1-1.dcm", VIEW, "1.2.1", FULL)
    whole = write_dicom(tmp_path / "b" / "1-1.dcm", VIEW, "1.2.1", FULL)
    cut.write_bytes(cut.read_bytes()[:-10])
    assert catalog_of(tmp_path, one_lesion()).lesions["image_file"].tolist() == [str(whole)]


def test_files_are_found_by_patient_id_if_the_csv_has_no_paths(tmp_path: Path) -> None:
    full = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    mask = write_dicom(tmp_path / "roi" / "1-2.dcm", f"{VIEW}_1", "1.2.2", MASK)
    catalog = catalog_of(tmp_path, one_lesion("", "", ""))
    assert catalog.lesions[["image_file", "mask_file"]].to_numpy().tolist() == [[str(full), str(mask)]]
    assert list_notices(catalog) == []


def test_series_uids_that_differ_from_the_csv_are_reported(tmp_path: Path) -> None:
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.77", FULL)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["image_file"].ne("").all()
    assert kinds_of(catalog) == ["repaired", "missing"]


def test_an_empty_folder_is_refused_and_macos_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "._1-1.dcm").write_bytes(b"left by a Mac")
    with pytest.raises(DataError, match="no mammograms"):
        scan_folders([tmp_path])


@pytest.mark.skipif(not SHARED.exists(), reason="the real files are not here")
def test_real_files_are_complete_and_identified(tmp_path: Path) -> None:
    headers = list(read_headers(scan_folders([SHARED / "tree"]).images, tmp_path / "headers.sqlite"))
    assert len(headers) == 13
    assert {header.fault for header in headers} == {""}
    full = [header for header in headers if header.subject == "Mass-Test_P_00016_LEFT_CC"]
    assert [(header.rows, header.columns, header.bits) for header in full] == [(4006, 1846, 16)]
    assert (full[0].side, full[0].view) == ("L", "CC")


def test_two_suitable_files_are_both_reported(tmp_path: Path) -> None:
    write_dicom(tmp_path / "full" / "0-9.dcm", VIEW, "1.2.1", FULL)
    write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    ((kind, words),) = [found for found in list_notices(catalog_of(tmp_path, one_lesion())) if found[0] == "several"]
    assert kind == "several"
    assert "full/0-9.dcm is used " in words
    assert words.endswith("full/1-1.dcm")


@pytest.mark.parametrize(("tag", "value", "words"), [("SamplesPerPixel", 3, "colour"), ("NumberOfFrames", 2, "frames")])
def test_colour_and_multi_frame_images_are_reported_and_left_out(
    tmp_path: Path, tag: str, value: int, words: str
) -> None:
    path = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    odd = pydicom.dcmread(path)
    setattr(odd, tag, value)
    odd.PixelData = odd.PixelData * value
    odd.save_as(path)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["image_file"].tolist() == [""]
    assert [kind for kind, said in list_notices(catalog) if words in said] == ["unfit"]


def test_a_file_without_series_uid_is_found_by_its_patient_id(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    bare = pydicom.dcmread(path)
    del bare.SeriesInstanceUID
    bare.save_as(path)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["image_file"].tolist() == [str(path)]
    assert "repaired" in kinds_of(catalog)


def test_a_deflated_file_is_complete(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    packed = pydicom.dcmread(path)
    packed.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    packed.save_as(path, implicit_vr=False, little_endian=True)
    assert catalog_of(tmp_path, one_lesion()).lesions["image_file"].tolist() == [str(path)]


def test_headers_that_contradict_the_csv_are_reported_and_the_csv_is_used(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "full" / "1-1.dcm", VIEW, "1.2.1", FULL)
    other = pydicom.dcmread(path)
    other.Laterality, other.PatientOrientation = "R", "MLO"
    other.save_as(path)
    catalog = catalog_of(tmp_path, one_lesion())
    assert catalog.lesions["image_file"].tolist() == [str(path)]
    assert [words for kind, words in list_notices(catalog) if kind == "other-name"] == [
        "the header's side is R",
        "the header's view is MLO",
    ]


def test_folder_names_replace_a_missing_patient_id(tmp_path: Path) -> None:
    """Anonymised once more: other UIDs, no PatientID; NBIA's folders still say whose file it is."""
    folder = tmp_path / VIEW / "07-20-2016-DDSM-NA-74994" / "1.000000-full mammogram images-24515"
    path = write_dicom(folder / "1-1.dcm", "", "9.9.9", FULL)
    catalog = catalog_of(tmp_path, one_lesion(image="1.2.3.24515"))
    assert catalog.lesions["image_file"].tolist() == [str(path)]
    assert [words for kind, words in list_notices(catalog) if kind == "repaired"] == [
        "found by PatientID and the last digits of the series UID; the CSV's series UID is not in the download"
    ]
