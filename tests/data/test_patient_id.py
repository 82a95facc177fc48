"""A patient has one name, however a file or a table spells it."""

import pytest

from tfm.data.patient_id import find_patient_ids, list_names_in_files, normalise_patient_id, normalise_subject


@pytest.mark.parametrize(
    "text",
    [
        "P_00039", "P_39", "p_0039", "P 39", "p-00039", "P00039", "P_00039.png", "p_00039_right_cc.png",
        "Calc-Test_P_00039_LEFT_CC_1", "films/P.039/12.dcm",
    ],
)  # fmt: skip
def test_a_patient_is_recognised_in_any_spelling(text: str) -> None:
    assert normalise_patient_id(text) == "P_00039"


@pytest.mark.parametrize("text", ["exp_0012", "H-17", "clinic-00039", "film 39.png", "P_train07", ""])
def test_other_names_are_no_patient_of_cbis_ddsm(text: str) -> None:
    assert find_patient_ids(text) == []
    assert normalise_patient_id(text) == text


def test_a_text_can_name_several_patients() -> None:
    assert find_patient_ids("P_7/p_00012_left_mlo.png") == ["P_00007", "P_00012"]
    assert find_patient_ids("P_000 and P_123456") == ["P_00000", "P_123456"]


@pytest.mark.parametrize("name", ["own:P1", "cmmd:D1-0001", "own:P_00001_LEFT_CC", "extra:others/film1.png"])
def test_a_patient_of_another_collection_is_never_taken_for_one_of_cbis_ddsm(name: str) -> None:
    assert find_patient_ids(name) == []
    assert normalise_patient_id(name) == name


def test_files_name_a_patient_without_the_collection() -> None:
    assert list_names_in_files("cmmd:D1-0001") == ["D1-0001", "cmmd:D1-0001"]
    assert list_names_in_files("own:P1") == ["P_00001", "own:P1"], "a file with P1 may show either patient"
    assert list_names_in_files("p-1") == ["P_00001"]


def test_tcias_names_of_views_keep_all_but_the_spelling_of_the_patient() -> None:
    assert normalise_subject("Mass-Training_P_133_LEFT_CC_1") == "Mass-Training_P_00133_LEFT_CC_1"
