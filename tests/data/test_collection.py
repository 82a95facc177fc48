"""NBIA's metadata.csv and TCIA's .tcia manifests: the real ones are read whole, what is broken is refused by name."""

from pathlib import Path

import pandas as pd
import pytest

from tfm.core.errors import DataError
from tfm.data.collection import is_listing, read_listing, read_manifest, tcia_manifest

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


def test_a_listing_says_where_each_series_stands_and_how_large_it_is(listing: Path) -> None:
    assert read_listing(listing).to_dict("records") == [
        {
            "series_uid": "1.2.3",
            "study_uid": "1.2",
            "subject": "Mass-Test_P_00001_LEFT_CC",
            "description": "full mammogram images",
            "files": 1,
            "size": 28_970_000,
            "location": "CBIS-DDSM/a/1.000000-full mammogram images-97934",
        },
        {
            "series_uid": "1.2.4",
            "study_uid": "1.2",
            "subject": "Mass-Test_P_00001_LEFT_CC_1",
            "description": "ROI mask images",
            "files": 2,
            "size": 606_570,
            "location": "CBIS-DDSM/b",
        },
    ]


def test_windows_paths_and_other_line_ends_are_read_alike(listing: Path, tmp_path: Path) -> None:
    lines = [HEAD, FULL.format(place=PLACE), LESION]
    windows = [lines[0], *(line.replace("/", "\\") for line in lines[1:])]
    for ending in ("\n", "\r\n"):
        other = write(tmp_path / "other.csv", "\ufeff", *windows, ending=ending)
        assert is_listing(other)
        pd.testing.assert_frame_equal(read_listing(other), read_listing(listing))


def test_what_is_not_needed_may_be_missing(tmp_path: Path) -> None:
    head = "File Location,Series UID,Subject ID,Number of Images"
    listed = read_listing(write(tmp_path / "metadata.csv", head, "./a,1.2.3,somebody,1"))
    assert list(listed[["series_uid", "study_uid", "description", "location"]].iloc[0]) == ["1.2.3", "", "", "a"]
    assert listed["size"].isna().all()


def test_a_download_that_has_just_begun_lists_no_series(tmp_path: Path) -> None:
    listed = read_listing(write(tmp_path / "metadata.csv", HEAD))
    assert len(listed) == 0
    assert "location" in listed


@pytest.mark.parametrize("column", ["Series UID", "Subject ID", "Number of Images", "File Location"])
def test_a_missing_column_is_named_with_its_file(tmp_path: Path, column: str) -> None:
    path = write(tmp_path / "metadata.csv", HEAD.replace(column, "Something"))
    assert not is_listing(path)
    with pytest.raises(DataError, match=rf'metadata\.csv has no column "{column.lower()}"'):
        read_listing(path)


def test_a_listing_cut_anywhere_in_its_last_line_is_refused(listing: Path, tmp_path: Path) -> None:
    whole = listing.read_bytes()
    start = whole.index(LESION.encode())
    for end in range(start + 1, len(whole) - 1):
        half = tmp_path / "half.csv"
        half.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"half\.csv"):
            read_listing(half)


@pytest.mark.parametrize(
    "place",
    [
        *("../elsewhere", "./CBIS-DDSM/../../elsewhere", ".\\CBIS-DDSM\\..\\..\\elsewhere"),
        *("/etc", "C:\\Users", "\\\\server\\share\\a", "C:a", ".", ""),
    ],
)
def test_a_location_outside_the_download_is_refused(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / "metadata.csv", HEAD, LESION, FULL.format(place=place))
    with pytest.raises(DataError, match='series 2: no usable value for "file location"'):
        read_listing(path)


@pytest.mark.parametrize(
    ("right", "wrong", "column"),
    [
        ("1.2.4,", "series,", "series uid"),
        ("1.2.4,", ",", "series uid"),
        ("Mass-Test_P_00001_LEFT_CC_1", "", "subject id"),
        (",2,", ",two,", "number of images"),
        ("606.57 KB", "606.57", "file size"),
        ("606.57 KB", "much", "file size"),
    ],
)
def test_a_value_nobody_can_use_is_refused_by_name(tmp_path: Path, right: str, wrong: str, column: str) -> None:
    path = write(tmp_path / "metadata.csv", HEAD, FULL.format(place=PLACE), LESION.replace(right, wrong, 1))
    with pytest.raises(DataError, match=f'series 2: no usable value for "{column}"'):
        read_listing(path)


@pytest.mark.parametrize(("size", "in_bytes"), [("1.50 GB", 1_500_000_000), ("3 KB", 3000), ("12 B", 12)])
def test_sizes_count_in_thousands(tmp_path: Path, size: str, in_bytes: int) -> None:
    path = write(tmp_path / "metadata.csv", HEAD, LESION.replace("606.57 KB", size))
    assert read_listing(path)["size"].tolist() == [in_bytes]


def test_a_series_listed_twice_counts_once_and_in_two_ways_is_refused(tmp_path: Path) -> None:
    again = LESION.replace("12:00", "13:00")
    assert len(read_listing(write(tmp_path / "metadata.csv", HEAD, LESION, again))) == 1
    with pytest.raises(DataError, match=r"series 1\.2\.4 in two ways"):
        read_listing(write(tmp_path / "metadata.csv", HEAD, LESION, LESION.replace("DDSM/b", "DDSM/c")))


def test_a_listing_is_known_by_its_header_alone(listing: Path, tmp_path: Path) -> None:
    assert is_listing(listing)
    assert is_listing(write(tmp_path / "of another name.txt", "\ufeff" + HEAD))
    for number, junk in enumerate(
        [
            b"",
            b"\n\n",
            b"\x00\xff\xfe" * 50_000,
            HEAD.encode("utf-16"),
            b'"' * 200_000,
            b"patient_id,pathology\n",
            b"\x89",
        ]
    ):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(junk)
        assert not is_listing(path)
        with pytest.raises(DataError):
            read_listing(path)


def test_the_real_listing_holds_6775_series_in_10239_files_of_163_gb(shared_data: Path) -> None:
    path = shared_data / "csv" / "metadata.csv"
    listed = read_listing(path)
    assert is_listing(path)
    assert (len(listed), listed["series_uid"].nunique()) == (6775, 6775)
    assert listed["files"].sum() == 10239
    assert round(listed["size"].sum() / 1e9, 1) == 163.5
    mammograms = listed[listed["description"] == "full mammogram images"]
    assert (len(mammograms), round(mammograms["size"].sum() / 1e9, 1)) == (3103, 102.6)
    assert listed["location"].str.match(r"CBIS-DDSM/(Mass|Calc)-(Training|Test)_P_\d+_").all()


def test_the_size_of_a_real_file_is_the_one_listed(shared_data: Path) -> None:
    listed = read_listing(shared_data / "csv" / "metadata.csv").set_index("subject")
    found = listed.loc["Mass-Test_P_00016_LEFT_CC"]
    (file,) = next((shared_data / "tree").iterdir()).joinpath(found["location"]).iterdir()
    assert abs(file.stat().st_size - found["size"]) <= 5000


def test_a_windows_download_lists_the_same_series_less_those_it_lacks(shared_data: Path) -> None:
    columns = ["series_uid", "study_uid", "subject", "description", "files"]
    linux, windows = (
        read_listing(shared_data / "csv" / name).set_index("series_uid", drop=False)
        for name in ("metadata.csv", "metadata-windows-2021-two-series-short.csv")
    )
    assert len(windows) == 6773
    pd.testing.assert_frame_equal(windows[columns], linux.loc[windows.index, columns])
    assert (windows["location"] == linux.loc[windows.index, "location"]).mean() > 0.9


def test_the_real_manifest_asks_for_the_listed_series_and_comes_back_in_its_own_form(shared_data: Path) -> None:
    (path,) = (shared_data / "csv").glob("*.tcia")
    real = path.read_bytes().decode()
    series = read_manifest(real)
    assert (len(series), len(set(series))) == (6775, 6775)
    assert set(series) == set(read_listing(shared_data / "csv" / "metadata.csv")["series_uid"])
    ours = tcia_manifest(series)
    assert read_manifest(ours) == sorted(series)
    head, real_head = ours.split("\n")[:6], real.split("\n")[:6]
    assert [line for line in head if "basket" not in line] == [line for line in real_head if "basket" not in line]
    assert [line.split("=")[0] for line in head] == [line.split("=")[0] for line in real_head]
    assert ours.endswith("\n") == real.endswith("\n")


def test_a_manifest_depends_on_the_series_alone() -> None:
    text = tcia_manifest(["1.2.10", "1.2.9", "1.2.10"])
    assert text == tcia_manifest(iter(["1.2.9", "1.2.10"]))
    assert text.split("\n")[5:] == ["ListOfSeriesToDownload=", "1.2.10", "1.2.9"]

    def basket(text: str) -> str:
        return text.split("\n")[3]

    assert basket(text) != basket(tcia_manifest(["1.2.9"]))
    assert basket(text).startswith("databasketId=manifest-")
    assert basket(text).endswith(".tcia")


def test_no_manifest_asks_for_a_series_without_uid() -> None:
    with pytest.raises(DataError, match="is no series UID") as caught:
        tcia_manifest(["1.2.3", ""])
    assert "case CSVs" in caught.value.hint


def test_a_manifest_written_on_windows_is_read_alike_and_another_text_refused() -> None:
    text = tcia_manifest(["1.2.3", "1.2.4"])
    assert read_manifest(text.replace("\n", "\r\n") + "\r\n") == ["1.2.3", "1.2.4"]
    assert read_manifest(tcia_manifest([])) == []
    with pytest.raises(DataError, match="no manifest of TCIA"):
        read_manifest("Series UID\n1.2.3\n")
    with pytest.raises(DataError, match=r"'1\.2\.4,1\.2\.4' is no series UID"):
        read_manifest(text + ",1.2.4")
