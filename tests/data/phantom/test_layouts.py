"""The layouts of a phantom download: the place of each file and the contents of the tables."""

import itertools
import re
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
import pytest

from tests.data.phantoms import Image, make_plan, read_case_rows, read_images, read_table, read_tree, write_phantom
from tfm.commands.phantom import Phantom
from tfm.core.errors import DataError, SettingsError
from tfm.data.download.headers import PHANTOM_MAKER
from tfm.data.phantom.download_plan import LayoutName
from tfm.data.phantom.layouts import LAYOUTS
from tfm.data.phantom.traps import TRAPS
from tfm.data.phantom.writer import write_download

_RETRIEVED = r"manifest-phantom/CBIS-DDSM/(?P<subject>[^/]+)/"
_NAME = r"(?P<description>ROI mask images|full mammogram images)"
PLACES = {
    "nbia": _RETRIEVED + rf"01-01-2020-DDSM-NA-(?P<study>\d{{5}})/1\.000000-{_NAME}-(?P<series>\d{{5}})/1-[12]\.dcm",
    "nbia-2020": _RETRIEVED + rf"01-01-2020-DDSM-(?P<study>\d{{5}})/1\.000000-{_NAME}-(?P<series>\d{{5}})/1-[12]\.dcm",
    "nbia-2019": _RETRIEVED + rf"01-01-2020-DDSM-(?P<study>\d{{5}})/1-{_NAME}-(?P<series>\d{{5}})/00000[01]\.dcm",
    "classic": _RETRIEVED + r"(?P<study>2\.25\.\d+)/(?P<series>2\.25\.\d+)/1-[12]\.dcm",
    "mirror": r"dicom/(?P<study>2\.25\.\d+)/(?P<series>2\.25\.\d+)/(?P<sop>2\.25\.\d+)\.dcm",
    "kaggle": r"jpeg/(?P<series>2\.25\.\d+)/[12]-\d{3}\.jpg",
}
KAGGLE_COLUMNS = (
    "file_path,image_path,AccessionNumber,BitsAllocated,BitsStored,BodyPartExamined,Columns,ContentDate,ContentTime,"
    "ConversionType,HighBit,InstanceNumber,LargestImagePixelValue,Laterality,Modality,PatientBirthDate,PatientID,"
    "PatientName,PatientOrientation,PatientSex,PhotometricInterpretation,PixelRepresentation,ReferringPhysicianName,"
    "Rows,SOPClassUID,SOPInstanceUID,SamplesPerPixel,SecondaryCaptureDeviceManufacturer,"
    "SecondaryCaptureDeviceManufacturerModelName,SeriesDescription,SeriesInstanceUID,SeriesNumber,"
    "SmallestImagePixelValue,SpecificCharacterSet,StudyDate,StudyID,StudyInstanceUID,StudyTime"
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same plan in every layout."""
    out = tmp_path_factory.mktemp("layouts")
    return {layout: write_phantom(out / layout, make_plan(layout=layout)) for layout in LAYOUTS}


def test_the_command_offers_every_layout():
    assert set(get_args(Phantom.model_fields["layout"].annotation)) == set(get_args(LayoutName)) == set(LAYOUTS)
    assert set(PLACES) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_path_of_each_image_agrees_with_its_header(layout, clean):
    found = read_images(clean[layout])
    assert len(found) == len({image.path for image in found}) == 8 * 3
    for image in found:
        place = re.fullmatch(PLACES[layout], image.path.relative_to(clean[layout]).as_posix())
        assert place, image.path
        named = place.groupdict()
        assert named.get("subject", image.PatientID) == image.PatientID
        assert image.StudyInstanceUID.endswith(named.get("study", ""))
        assert image.SeriesInstanceUID.endswith(named["series"])
        assert named.get("sop", image.SOPInstanceUID) == image.SOPInstanceUID
        full = named.get("description") == "full mammogram images"
        assert full == (image.SeriesDescription == "full mammogram images") or "description" not in named


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_has_its_tables_and_no_other_files(layout, clean):
    others = {
        path.relative_to(clean[layout]).as_posix()
        for path in clean[layout].rglob("*")
        if path.is_file() and path.suffix not in (".dcm", ".jpg")
    }
    cases = {f"{kind}_case_description_{split}_set.csv" for kind in ("mass", "calc") for split in ("train", "test")}
    kinds = {f"{m.kind}_case_description_{m.split}_set.csv" for m in make_plan().mammograms}
    if layout == "kaggle":
        assert others == {"phantom.yaml", "csv/dicom_info.csv", *(f"csv/{name}" for name in cases & kinds)}
    else:
        listing = set() if layout == "mirror" else {"manifest-phantom/metadata.csv"}
        assert others == {"phantom.yaml", *listing, *(cases & kinds)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_row_of_a_case_csv_leads_to_its_three_images(layout, clean):
    by_series: dict[str, list[Image]] = {}
    for image in read_images(clean[layout]):
        by_series.setdefault(image.SeriesInstanceUID, []).append(image)
    rows = read_case_rows(clean[layout])
    assert len(rows) == 8
    for row in rows:
        for column, description in (
            ("image", "full mammogram"),
            ("cropped image", "cropped"),
            ("ROI mask", "ROI mask"),
        ):
            subject, study, series, name = row[f"{column} file path"].split("/")
            (image,) = (i for i in by_series[series] if i.SeriesDescription == f"{description} images")
            assert (image.PatientID, image.StudyInstanceUID) == (subject, study)
            assert image.Laterality == row["left or right breast"][0]
            assert image.PatientOrientation == row["image view"]
            if layout == "kaggle":
                assert name == f"{int(image.path.name[0]) - 1:06d}.dcm"
            else:
                assert name == image.path.name


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("mirror", "kaggle")])
def test_metadata_lists_the_folders(layout, clean):
    root = clean[layout] / "manifest-phantom"
    listed = read_table(root / "metadata.csv")
    assert {root / row["File Location"] for row in listed} == {path.parent for path in root.rglob("*.dcm")}
    for row in listed:
        files = list((root / row["File Location"]).iterdir())
        assert row["File Location"].startswith("./CBIS-DDSM/")
        assert len(files) == int(row["Number of Images"])
        assert row["File Size"] == f"{sum(f.stat().st_size for f in files) / 1e6:.2f} MB"


def test_dicom_layouts_hold_the_same_files(clean):
    contents = [
        sorted(path.read_bytes() for path in clean[name].rglob("*.dcm")) for name in LAYOUTS if name != "kaggle"
    ]
    assert all(content == contents[0] for content in contents)


def test_kaggles_table_repeats_the_headers_and_marks_phantoms(clean):
    listing = clean["kaggle"] / "csv" / "dicom_info.csv"
    assert listing.read_bytes().startswith(KAGGLE_COLUMNS.encode() + b"\n")
    headers = {image.SOPInstanceUID: image.facts for image in read_images(clean["nbia"])}
    rows = read_table(listing)
    assert len(rows) == len(headers)
    for row in rows:
        folder = f"CBIS-DDSM/dicom/{row['SeriesInstanceUID']}"
        assert row["file_path"] == f"{folder}/1-{Path(row['image_path']).name[0]}.dcm"
        assert row["SecondaryCaptureDeviceManufacturer"] == PHANTOM_MAKER
        assert row["BitsAllocated"] == ("8" if row["SeriesDescription"] == "ROI mask images" else "16")
        for fact in KAGGLE_COLUMNS.split(",")[2:]:
            assert row[fact] == headers[row["SOPInstanceUID"]][fact], fact
    numbers = [Path(row["image_path"]).stem.split("-")[1] for row in rows]
    assert len(set(numbers)) > 0.8 * len(numbers)


def test_jpegs_are_the_pixels_of_the_dicom_files_in_eight_bits_at_full_size(clean):
    dicom = {image.SOPInstanceUID: image.pixels for image in read_images(clean["nbia"])}
    for image in read_images(clean["kaggle"]):
        theirs = dicom[image.SOPInstanceUID]
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == theirs.shape
        scaled = theirs / 257 if theirs.dtype == np.uint16 else theirs
        assert np.abs(image.pixels - scaled).mean() < 3
        if image.SeriesDescription == "ROI mask images":
            assert np.array_equal(image.pixels > 127, theirs > 127)


def test_each_jpeg_says_that_it_is_synthetic(tmp_path):
    jpegs = list(write_phantom(tmp_path, make_plan(*TRAPS, layout="kaggle")).rglob("*.jpg"))
    still_images = [path for path in jpegs if path.read_bytes().strip(b"\0")]
    assert len(still_images) == len(jpegs) - 1, "one file of a mask is unreadable"
    for path in still_images:
        with PIL.Image.open(path) as image:
            assert image.info["comment"] == PHANTOM_MAKER.encode()


@pytest.mark.parametrize("layout", ["nbia", "kaggle"])
def test_a_killed_write_resumes_and_ends_byte_identical(layout, tmp_path):
    wanted = make_plan(*TRAPS, layout=layout)
    whole = read_tree(write_phantom(tmp_path / "whole", wanted))
    killed = tmp_path / "killed"
    list(itertools.islice(write_download(wanted, killed), 5))
    assert not list(killed.rglob("*.csv")), "tables must come last"
    standing = sorted(path for path in killed.rglob("*") if path.suffix in (".dcm", ".jpg"))
    lost = next(path for path in reversed(standing) if len(list(path.parent.iterdir())) == 2)
    lost.with_name(f".{lost.name}.0badbeef.tmp").write_bytes(b"half a file")
    lost.unlink()  # the kill came between crop and mask
    for table_name in (name for name in whole if name.endswith(".csv")):
        half = killed / table_name
        half.parent.mkdir(parents=True, exist_ok=True)
        half.with_name(f".{half.name}.0badbeef.tmp").write_bytes(b"half a table")
    stands = {path: path.stat().st_mtime_ns for path in standing if path != lost}
    write_phantom(killed, wanted)
    assert read_tree(killed) == whole
    assert all(p.stat().st_mtime_ns == then for p, then in stands.items()), "a complete file was written again"
    write_phantom(killed, wanted)
    assert read_tree(killed) == whole


def test_another_layout_is_another_download(clean):
    with pytest.raises(DataError, match="other settings"):
        write_phantom(clean["nbia"], make_plan(layout="classic"))


def test_all_traps_need_four_patients():
    for seed in range(4):
        for train in range(1, 5):
            make_plan(*TRAPS, train_women=train, test_women=4 - train, seed=seed)
            with pytest.raises(SettingsError, match="needs"):
                make_plan(*TRAPS, train_women=train, test_women=max(0, 3 - train), seed=seed, kinds=("mass",))
    with pytest.raises(SettingsError, match="mixed-labels"):
        make_plan(*TRAPS, train_women=3, test_women=0)


def test_the_mammograms_do_not_depend_on_the_layout():
    for traps in ((), tuple(TRAPS)):
        assert all(make_plan(*traps, layout=name).mammograms == make_plan(*traps).mammograms for name in LAYOUTS)
