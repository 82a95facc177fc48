"""NBIA's metadata.csv and TCIA's .tcia manifests, intact and broken."""

from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import parse_manifest
from tfm.core.errors import DataError
from tfm.data.download.tcia_metadata import format_manifest, is_listing, read_listing

HEAD = "Series UID,Collection,Subject ID,Study UID,Series Description,Number of Images,File Size,File Location,Time"
FULL = "1.2.3,CBIS-DDSM,Mass-Test_P_00001_LEFT_CC,1.2,full mammogram images,1,28.97 MB,{place},12:00"
LESION = "1.2.4,CBIS-DDSM,Mass-Test_P_00001_LEFT_CC_1,1.2,ROI mask images,2,606.57 KB,./CBIS-DDSM/b,12:00"
PLACE = "./CBIS-DDSM/a/1.000000-full mammogram images-97934"


def write(path: Path, *lines: str, ending: str = "\r\n") -> Path:
    path.write_bytes("".join(line + ending for line in lines).encode())
    return path


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    return write(tmp_path / "metadata.csv", HEAD, FULL.format(place=PLACE), LESION)


def test_a_listing_maps_subjects_to_series(listing: Path) -> None:
    assert read_listing(listing).to_dict("records") == [
        {"series_uid": "1.2.3", "subject": "Mass-Test_P_00001_LEFT_CC"},
        {"series_uid": "1.2.4", "subject": "Mass-Test_P_00001_LEFT_CC_1"},
    ]


def test_windows_paths_and_line_ends_are_accepted(listing: Path, tmp_path: Path) -> None:
    lines = [HEAD, FULL.format(place=PLACE), LESION]
    windows = [lines[0], *(line.replace("/", "\\") for line in lines[1:])]
    for ending in ("\n", "\r\n"):
        other = write(tmp_path / "other.csv", "\ufeff", *windows, ending=ending)
        assert is_listing(other)
        pd.testing.assert_frame_equal(read_listing(other), read_listing(listing))


def test_a_truncated_listing_gives_its_complete_lines(listing: Path) -> None:
    whole = listing.read_bytes()
    start = whole.index(b"1.2.4,") + 1
    for kept in range(start, whole.index(b"_00001_LEFT_CC_1")):
        listing.write_bytes(whole[:kept])
        listed = read_listing(listing)
        assert listed["series_uid"].iloc[0] == "1.2.3"
        assert set(listed["series_uid"]) <= {"1.2.3", "1.2.4"}


def test_a_series_listed_twice_counts_once(tmp_path: Path) -> None:
    assert len(read_listing(write(tmp_path / "metadata.csv", HEAD, LESION, LESION))) == 1


def test_a_listing_is_recognized_by_its_header(listing: Path, tmp_path: Path) -> None:
    assert is_listing(listing)
    assert is_listing(write(tmp_path / "of another name.txt", "\ufeff" + HEAD))
    junk = [b"", b"\n\n", b"\x00\xff\xfe" * 50_000, b'"' * 200_000, b"patient_id,pathology\n", b"\x89"]
    for number, content in enumerate(junk):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(content)
        assert not is_listing(path)


@pytest.mark.parametrize(
    ("name", "count"), [("metadata.csv", 6775), ("metadata-windows-2021-two-series-short.csv", 6773)]
)
def test_the_official_listings_are_read_completely(shared_data: Path, name: str, count: int) -> None:
    listed = read_listing(shared_data / "csv" / name)
    assert is_listing(shared_data / "csv" / name)
    assert (len(listed), listed["series_uid"].nunique()) == (count, count)
    assert listed["subject"].str.match(r"(Mass|Calc)-(Training|Test)_P_\d+_").all()


def test_the_official_manifest_is_reproduced(shared_data: Path) -> None:
    (path,) = (shared_data / "csv").glob("*.tcia")
    real = path.read_bytes().decode()
    series = parse_manifest(real)
    assert (len(series), len(set(series))) == (6775, 6775)
    assert set(series) == set(read_listing(shared_data / "csv" / "metadata.csv")["series_uid"])
    ours = format_manifest(series)
    assert parse_manifest(ours) == sorted(series)
    head, real_head = ours.split("\n")[:6], real.split("\n")[:6]
    assert [line for line in head if "basket" not in line] == [line for line in real_head if "basket" not in line]
    assert [line.split("=")[0] for line in head] == [line.split("=")[0] for line in real_head]
    assert ours.endswith("\n") == real.endswith("\n")


def test_a_manifest_depends_on_the_series_alone() -> None:
    text = format_manifest(["1.2.10", "1.2.9", "1.2.10"])
    assert text == format_manifest(iter(["1.2.9", "1.2.10"]))
    assert text.split("\n")[5:] == ["ListOfSeriesToDownload=", "1.2.10", "1.2.9"]

    def basket(text: str) -> str:
        return text.split("\n")[3]

    assert basket(text) != basket(format_manifest(["1.2.9"]))
    assert basket(text).startswith("databasketId=manifest-")
    assert basket(text).endswith(".tcia")


def test_a_manifest_with_an_invalid_uid_is_refused() -> None:
    with pytest.raises(DataError, match="invalid series UID") as caught:
        format_manifest(["1.2.3", ""])
    assert "case CSVs" in caught.value.hint
