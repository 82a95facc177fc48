"""Counts of the official CSVs against the published numbers, and of a small table against counts by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tfm.data.dataset.audit import flatten_counts
from tfm.data.sources.cbis_ddsm import read_cases
from tfm.data.sources.csv_summary import summarize_cases

# kind, split, patient, side, view, id, pathology
SMALL = """
mass train P_1 LEFT  CC  1 MALIGNANT
mass train P_1 LEFT  CC  2 BENIGN
mass train P_1 LEFT  MLO 1 MALIGNANT
mass train P_2 RIGHT CC  1 BENIGN
mass train P_2 LEFT  CC  1 BENIGN_WITHOUT_CALLBACK
mass train P_4 LEFT  MLO 1 MALIGNANT
mass train P_6 RIGHT CC  1 BENIGN
mass test  P_3 LEFT  MLO 1 BENIGN
mass test  P_4 LEFT  CC  1 MALIGNANT
mass test  P_4 RIGHT CC  2 BENIGN
calc train P_3 LEFT  MLO 1 MALIGNANT
calc train P_5 LEFT  CC  1 BENIGN
calc train P_5 LEFT  MLO 1 BENIGN
calc train P_6 RIGHT CC  3 MALIGNANT
calc test  P_2 RIGHT CC  1 MALIGNANT
calc test  P_5 LEFT  CC  1 BENIGN
"""


@pytest.fixture
def small() -> pd.DataFrame:
    """The second lesion has its crop and its mask in two series, the fifth no paths."""
    columns = ["kind", "split", "patient_id", "side", "view", "lesion_id", "pathology"]
    table = pd.DataFrame([line.split() for line in SMALL.split("\n") if line], columns=columns)
    of_mass = table["kind"] == "mass"
    number = table.index.astype(str)
    table = table.assign(
        lesion_id=table["lesion_id"].astype("Int64"),
        **{name: pd.Series(3, table.index, dtype="Int64") for name in ("density", "assessment", "subtlety")},
        **{name: of_mass.map({True: "WORD", False: ""}) for name in ("shape", "margins")},
        **{name: of_mass.map({True: "", False: "WORD"}) for name in ("calc_type", "distribution")},
        image_series="1.1." + table[columns[:5]].agg(".".join, axis=1),
        crop_series="1.2." + number,
        mask_series="1.2." + number,
    )
    table.loc[1, "mask_series"] = "1.3.1"
    table.loc[4, ["image_series", "crop_series", "mask_series"]] = ""
    table.loc[[0, 1], "density"], table.loc[2, "density"] = 0, pd.NA
    table.loc[0, "assessment"], table.loc[[1, 2, 3], "assessment"] = 0, pd.NA
    table.loc[[0, 1, 2], "subtlety"], table.loc[[3, 4], "subtlety"] = 0, pd.NA
    table.loc[0, "shape"], table.loc[[0, 1], "margins"] = "", ""
    table.loc[[10, 11, 12], "calc_type"], table.loc[[10, 11, 12, 13], "distribution"] = "", ""
    return table


def of_csv(*counts: int) -> dict[str, int]:
    words = ("lesions", "images", "women", "benign", "benign without callback", "malignant")
    return dict(zip((*words, "malignant images", "benign images"), counts, strict=True))


def of_scans(*counts: int) -> dict[str, int]:
    words = ("scans", "women", "malignant", "with the label changed by the other issue")
    return dict(zip(words, counts, strict=True))


def test_the_counts_of_a_small_table_are_correct(small: pd.DataFrame) -> None:
    assert summarize_cases(small) == {
        "case CSVs": {
            "mass train": of_csv(7, 6, 4, 3, 1, 3, 3, 3),
            "mass test": of_csv(3, 3, 2, 2, 0, 1, 1, 2),
            "calc train": of_csv(4, 4, 3, 2, 0, 2, 2, 2),
            "calc test": of_csv(2, 2, 2, 1, 0, 1, 1, 1),
            "all": of_csv(16, 15, 6, 8, 1, 7, 7, 8),
        },
        "women": {
            "all": 6,
            "with masses": 5,
            "with calcifications": 4,
            "with masses and calcifications": 3,
            "with benign and malignant lesions": 5,
            "with benign and malignant lesions in one breast": 4,
        },
        "images": {
            "with several lesions": 1,
            "most lesions of one": 2,
            "with benign and malignant lesions": 1,
            "with lesions not numbered 1 to n": 2,
        },
        "women in train and test": {
            "within masses": 1,
            "within calcifications": 1,
            "among all": 4,
            "their lesions": 11,
            "their lesions in test": 5,
            "their lesions in train": 6,
            "their images in train": 6,
        },
        "scans issued twice": {"scans": 4, "once in train, once in test": 3, "with another label each time": 3},
        "breasts": {
            "masses": {"breasts": 7, "with CC and MLO": 2},
            "calcifications": {"breasts": 4, "with CC and MLO": 1},
            "all": {"breasts": 8, "with CC and MLO": 3},
        },
        "values": {
            "density": {"0": 2, "missing": 1},
            "assessment": {"0": 1, "missing": 3},
            "subtlety": {"0": 3, "missing": 2},
            "shape": {"missing": 1},
            "margins": {"missing": 2},
            "calc type": {"missing": 3},
            "distribution": {"missing": 4},
        },
        "scans, each once": {
            "all": of_scans(11, 6, 7, 2),
            "train": of_scans(3, 2, 3, 1),
            "test": of_scans(5, 4, 3, 1),
            "left out, train scans of women in test": of_scans(3, 3, 1, 0),
        },
        "series the CSVs name": {
            "full mammogram": 14,
            "mask and crop": 14,
            "crop alone": 1,
            "mask alone": 1,
            "all": 30,
        },
        "files the CSVs name": {"full mammogram": 14, "crop": 15, "mask": 15, "all": 44},
    }


def test_the_order_of_the_rows_changes_neither_the_counts_nor_their_order(small: pd.DataFrame) -> None:
    before = small.copy()
    assert json.dumps(summarize_cases(small[::-1])) == json.dumps(summarize_cases(small))
    pd.testing.assert_frame_equal(small, before)


def test_a_missing_kind_is_not_counted(small: pd.DataFrame) -> None:
    masses = summarize_cases(small[small["kind"] == "mass"])
    assert list(masses["case CSVs"]) == ["mass train", "mass test", "all"]
    assert masses["women in train and test"]["among all"] == masses["women in train and test"]["within masses"] == 1
    assert masses["scans issued twice"]["scans"] == 0
    assert not [
        what for what, _ in flatten_counts(masses) if what.endswith(("with calcifications", "within calcifications"))
    ]
    assert list(masses["values"]) == ["density", "assessment", "subtlety", "shape", "margins"]


def test_csvs_without_paths_name_no_series(small: pd.DataFrame) -> None:
    counts = summarize_cases(small.assign(image_series="", crop_series="", mask_series=""))
    assert set(counts["series the CSVs name"].values()) == {0}
    assert set(counts["files the CSVs name"].values()) == {0}
    assert counts["case CSVs"]["all"]["images"] == 15


def test_flattened_counts_have_unique_labels(small: pd.DataFrame) -> None:
    rows = flatten_counts(summarize_cases(small))
    assert len({what for what, _ in rows}) == len(rows)
    assert ("case CSVs: mass train: lesions", "7") in rows
    assert ("scans issued twice: once in train, once in test", "3") in rows
    assert ("values: calc type: missing", "3") in rows


@pytest.fixture(scope="module")
def official_cases(shared_data: Path) -> pd.DataFrame:
    return read_cases(sorted((shared_data / "csv").glob("*_case_description_*.csv")))


def test_the_official_csvs_give_the_published_counts(official_cases: pd.DataFrame) -> None:
    counts = summarize_cases(official_cases)
    assert counts["case CSVs"] == {
        "mass train": of_csv(1318, 1231, 691, 577, 104, 637, 602, 629),
        "mass test": of_csv(378, 361, 201, 194, 37, 147, 145, 216),
        "calc train": of_csv(1546, 1227, 602, 528, 474, 544, 509, 718),
        "calc test": of_csv(326, 284, 151, 130, 67, 129, 119, 165),
        "all": of_csv(3568, 3103, 1566, 1429, 682, 1457, 1375, 1728),
    }
    assert list(counts["women"].values()) == [1566, 892, 753, 79, 56, 20]
    assert list(counts["images"].values()) == [293, 7, 17, 101]
    assert list(counts["women in train and test"].values()) == [0, 0, 31, 143, 60, 83, 64]
    assert list(counts["scans issued twice"].values()) == [71, 29, 16]
    assert counts["series the CSVs name"] == {
        "full mammogram": 3103,
        "mask and crop": 3464,
        "crop alone": 104,
        "mask alone": 104,
        "all": 6775,
    }
    assert counts["files the CSVs name"]["all"] == 10239


def test_the_official_csvs_lack_the_values_that_are_known_to_be_missing(official_cases: pd.DataFrame) -> None:
    assert summarize_cases(official_cases)["values"] == {
        "density": {"0": 2, "missing": 0},
        "assessment": {"0": 238, "missing": 0},
        "subtlety": {"0": 2, "missing": 0},
        "shape": {"missing": 4},
        "margins": {"missing": 60},
        "calc type": {"missing": 24},
        "distribution": {"missing": 439},
    }


def test_a_breast_with_masses_and_calcifications_is_one_breast(official_cases: pd.DataFrame) -> None:
    breasts = summarize_cases(official_cases)["breasts"]
    of_kinds = [breasts["masses"], breasts["calcifications"]]
    assert sum(kind["breasts"] for kind in of_kinds) == 1755
    assert sum(kind["with CC and MLO"] for kind in of_kinds) == 1348
    assert breasts["all"] == {"breasts": 1708, "with CC and MLO": 1324}


def test_merging_repeated_scans_leaves_3032_of_which_35_belong_to_test_patients(official_cases: pd.DataFrame) -> None:
    assert summarize_cases(official_cases)["scans, each once"] == {
        "all": of_scans(3032, 1566, 1347, 12),
        "train": of_scans(2356, 1217, 1065, 5),
        "test": of_scans(641, 349, 267, 7),
        "left out, train scans of women in test": of_scans(35, 22, 15, 0),
    }
