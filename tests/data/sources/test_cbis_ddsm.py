"""The official case CSVs give the official counts, and their variants are read alike."""

from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import list_tables_below, read_cases_below
from tfm.core.errors import DataError, SettingsError
from tfm.data.dataset.lesions_to_images import build_mammogram_table
from tfm.data.sources.cbis_ddsm import find_case_files, read_cases, report_missing_csvs, select_kinds

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
with_official_csvs = pytest.mark.skipif(not SHARED.exists(), reason="the official CSVs are not here")
HEAD = (
    "patient_id,{density},left or right breast,image view,abnormality id,abnormality type,assessment,pathology,subtlety"
)


def write_csv(path: Path, *rows: str, density: str = "breast_density") -> Path:
    path.write_text("\n".join([HEAD.format(density=density), *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def official_cases() -> pd.DataFrame:
    if not SHARED.exists():
        pytest.skip("the official CSVs are not here")
    return read_cases_below(SHARED / "csv")


def test_the_official_csvs_contain_3568_lesions_of_1566_patients(official_cases: pd.DataFrame) -> None:
    assert official_cases.groupby(["kind", "split"]).size().to_dict() == {
        ("mass", "train"): 1318,
        ("mass", "test"): 378,
        ("calc", "train"): 1546,
        ("calc", "test"): 326,
    }
    assert official_cases["patient_id"].nunique() == 1566
    assert official_cases.groupby("kind")["patient_id"].nunique().to_dict() == {"mass": 892, "calc": 753}
    assert official_cases["image_series"].nunique() == 3103
    assert official_cases["density"].eq(0).sum() == 2
    assert official_cases["assessment"].eq(0).sum() == 238


def test_a_line_feed_in_a_path_is_not_part_of_a_series_uid(official_cases: pd.DataFrame) -> None:
    for column in ("image_series", "crop_series", "mask_series"):
        assert official_cases[column].str.fullmatch(r"[0-9.]{20,64}").all()


@pytest.mark.parametrize(
    ("kind", "images", "patients", "malignant"),
    [("mass", (1231, 361), (691, 201), (602, 145)), ("calc", (1227, 284), (602, 151), None)],
)
def test_each_kind_alone_has_tcias_counts(
    official_cases: pd.DataFrame,
    kind: str,
    images: tuple[int, int],
    patients: tuple[int, int],
    malignant: tuple[int, int] | None,
) -> None:
    table, findings = build_mammogram_table(select_kinds(official_cases, [kind]))
    of_split = [table[table["official"] == split] for split in ("train", "test")]
    assert tuple(map(len, of_split)) == images
    assert tuple(rows["patient_id"].nunique() for rows in of_split) == patients
    if malignant:
        assert tuple(int((rows["label"] == "malignant").sum()) for rows in of_split) == malignant
    assert not [found for found in findings if found.kind == "twin"]


def test_both_kinds_together_have_71_twins_and_relabel_7_test_images(official_cases: pd.DataFrame) -> None:
    table, findings = build_mammogram_table(official_cases)
    twins = [found for found in findings if found.kind == "twin"]
    across = [found for found in twins if "train" in found.words and "test" in found.words]
    assert (len(table), len(twins), len(across)) == (3032, 71, 29)
    assert (table["relabelled"] & (table["official"] == "test")).sum() == 7
    in_both = table.groupby("patient_id")["official"].nunique()
    assert len(in_both) == 1566
    sides = official_cases.groupby("patient_id")["split"].nunique()
    assert (sides > 1).sum() == 31


def test_17_official_images_are_both_benign_and_malignant(official_cases: pd.DataFrame) -> None:
    mixed = [
        found
        for kind in ("mass", "calc")
        for found in build_mammogram_table(select_kinds(official_cases, [kind]))[1]
        if found.kind == "mixed-labels"
    ]
    assert len(mixed) == 17


@with_official_csvs
def test_renamed_headers_and_backslashes_change_nothing(official_cases: pd.DataFrame) -> None:
    variant = read_cases_below(SHARED / "csv-variants" / "renamed-headers")
    both = variant.merge(official_cases, how="left", indicator=True)
    assert len(variant) == 1317
    assert (both["_merge"] == "both").all()


@with_official_csvs
def test_csvs_without_paths_give_the_same_lesions(official_cases: pd.DataFrame) -> None:
    variant = read_cases_below(SHARED / "csv-variants" / "no-path-columns")
    columns = [column for column in official_cases if not column.endswith("_series")]
    pd.testing.assert_frame_equal(variant[columns], official_cases[columns])


def test_any_malignant_lesion_makes_the_image_malignant_in_whatever_row(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "mass_case_description_train_set.csv",
        "P_00001,2,LEFT,CC,1,mass,4,BENIGN,3",
        "P_00001,2,LEFT,CC,4,mass,5,MALIGNANT,5",
        "P_00002,2,LEFT,CC,1,mass,2,BENIGN_WITHOUT_CALLBACK,3",
    )
    table, findings = build_mammogram_table(read_cases([path]))
    assert table.set_index("image_id")["label"].to_dict() == {
        "P_00001_LEFT_CC": "malignant",
        "P_00002_LEFT_CC": "benign",
    }
    assert table["assessment"].tolist() == [5, 2]
    assert table["callback"].tolist() == [True, False]
    assert [(found.kind, found.subject) for found in findings] == [("mixed-labels", "P_00001_LEFT_CC")]


def test_a_scan_issued_in_train_and_test_is_one_test_image_with_all_its_lesions(tmp_path: Path) -> None:
    write_csv(tmp_path / "mass_case_description_train_set.csv", "P_00001,2,LEFT,CC,1,mass,5,MALIGNANT,5")
    write_csv(tmp_path / "calc_case_description_test_set.csv", "P_00001,2,LEFT,CC,1,calcification,2,BENIGN,3")
    table, findings = build_mammogram_table(read_cases_below(tmp_path))
    image = table.iloc[0]
    assert len(table) == 1
    assert (image["official"], image["kind"], image["label"], image["relabelled"]) == (
        *("test", "mass+calc", "malignant"),
        True,
    )
    twin = next(found for found in findings if found.kind == "twin")
    assert twin.words == "issued in calc test and mass train: benign becomes malignant"


def test_values_outside_their_scale_become_missing_and_are_reported(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "calc_case_description_test_set.csv",
        "P_00001,0,LEFT,CC,1,calcification,0,BENIGN,N/A",
        density="breast density",
    )
    table, findings = build_mammogram_table(read_cases([path]))
    assert table["density"].isna().all()
    assert table["subtlety"].isna().all()
    assert table["assessment"].tolist() == [0], "BI-RADS 0 is a category"
    assert [found.words for found in findings] == ["density 0 (lesion 1)", "subtlety missing (lesion 1)"]


def test_tcias_patient_id_is_reduced_to_the_patient(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "mass_case_description_train_set.csv", "Mass-Training_P_00001_LEFT_CC,2,LEFT,CC,1,mass,4,BENIGN,3"
    )
    assert read_cases([path])["patient_id"].tolist() == ["P_00001"]


def test_a_missing_column_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mass_case_description_train_set.csv"
    path.write_text("patient_id,left or right breast,image view\nP_00001,LEFT,CC\n")
    with pytest.raises(DataError, match=r"train_set\.csv has no column \"abnormality id\""):
        read_cases_below(tmp_path)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("P_00001,2,LEFT,CC,1,mass,4,PERHAPS,3", "pathology"),
        ("P_00001,2,UPPER,CC,1,mass,4,BENIGN,3", "left or right breast"),
        ("P_00001,2,LEFT,CC,one,mass,4,BENIGN,3", "abnormality id"),
        ("someone,2,LEFT,CC,1,mass,4,BENIGN,3", "patient id"),
    ],
)
def test_an_unusable_value_is_refused_by_name(tmp_path: Path, row: str, column: str) -> None:
    path = write_csv(tmp_path / "mass_case_description_train_set.csv", "P_00009,2,LEFT,CC,1,mass,4,BENIGN,3", row)
    with pytest.raises(DataError, match=f'case 2: no usable value for "{column}"'):
        read_cases([path])


def test_identical_csvs_count_once_and_contradicting_ones_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write_csv(folder / "mass_case_description_train_set.csv", "P_00001,2,LEFT,CC,1,mass,4,BENIGN,3")
    assert len(read_cases_below(tmp_path)) == 1
    write_csv(second / "mass_case_description_train_set.csv", "P_00001,2,LEFT,CC,1,mass,4,MALIGNANT,3")
    with pytest.raises(DataError, match=r"lesion 1 of P_00001 LEFT CC .* in pathology: .*/a/.* and .*/b/"):
        read_cases_below(tmp_path)


def test_a_file_named_after_the_other_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mass_test.csv"
    path.write_text(
        HEAD.format(density="breast_density")
        + ",image file path\nP_00001,2,LEFT,CC,1,mass,4,BENIGN,3,Mass-Training_P_00001_LEFT_CC/1.2/1.3/000000.dcm\n"
    )
    with pytest.raises(DataError, match="named after the test split"):
        read_cases([path])


def test_other_csvs_are_not_case_files(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("Series UID,Collection\n1.2,CBIS-DDSM\n")
    with pytest.raises(SettingsError, match="no case CSV"):
        find_case_files(list_tables_below(tmp_path))
    write_csv(tmp_path / "my own name train.csv", "P_00001,2,LEFT,CC,1,mass,4,BENIGN,3")
    assert [path.name for path in find_case_files(list_tables_below(tmp_path))] == ["my own name train.csv"]


def test_a_missing_kind_is_refused_alone_and_reported_with_another(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "mass_case_description_train_set.csv", "P_00001,2,LEFT,CC,1,mass,4,BENIGN,3")
    cases = read_cases([path])
    with pytest.raises(DataError, match="no calc case") as caught:
        select_kinds(cases, ("calc",))
    assert "lesions=mass" in caught.value.hint
    assert len(select_kinds(cases, ("mass", "calc"))) == 1
    assert [one.subject for one in report_missing_csvs(cases, ("mass", "calc"))] == [
        "mass test",
        "calc train",
        "calc test",
    ]


def with_paths(*rows: str) -> str:
    """The text of a CSV whose rows end with the path of their mammogram."""
    return "\n".join([HEAD.format(density="breast_density") + ",image file path", *rows]) + "\n"


FIRST_CASE = "P_00001,2,LEFT,CC,1,mass,4,BENIGN,3,Mass-Training_P_00001_LEFT_CC/1.2/1.3/000000.dcm"


@pytest.mark.parametrize("climbing", ["../../etc/1.2.3/000000.dcm", r"..\..\etc\1.2.3\000000.dcm"])
def test_a_path_outside_the_download_is_refused(tmp_path: Path, climbing: str) -> None:
    path = tmp_path / "mass_case_description_train_set.csv"
    path.write_text(with_paths(FIRST_CASE, f"P_00002,2,LEFT,CC,1,mass,4,BENIGN,3,{climbing}"))
    with pytest.raises(DataError, match='case 2: the path under "image file path" contains'):
        read_cases([path])


def test_a_csv_truncated_in_its_last_case_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mass_case_description_train_set.csv"
    whole = with_paths(FIRST_CASE, FIRST_CASE.replace("P_00001", "P_00002"))
    path.write_text(whole)
    assert len(read_cases([path])) == 2
    start = whole.index("\nP_00002") + len("\nP_00002")
    for kept in range(start, len(whole) - len("dcm\n") - 1):
        path.write_text(whole[:kept])
        with pytest.raises(DataError):
            read_cases([path])


def test_excels_semicolons_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mass_case_description_train_set.csv"
    path.write_text(with_paths(FIRST_CASE))
    with_commas = read_cases([path])
    path.write_text("\ufeff" + with_paths(FIRST_CASE).replace(",", ";"))
    pd.testing.assert_frame_equal(read_cases([path]), with_commas)


def test_the_descriptions_of_a_lesion_are_kept(official_cases: pd.DataFrame) -> None:
    first = official_cases[official_cases["kind"] == "mass"].set_index(["split", "patient_id", "view"])
    assert first.loc[("train", "P_00001", "CC"), "shape"] == "IRREGULAR-ARCHITECTURAL_DISTORTION"
    assert first.loc[("train", "P_00001", "CC"), "margins"] == "SPICULATED"
    assert set(official_cases.loc[official_cases["kind"] == "mass", "calc_type"]) == {""}
