"""A patient has one name, however a file or a table spells it."""

import pytest

from tfm.data.patient_id import find_patient_ids, normalise_patient_id, normalise_subject


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


def test_tcias_names_of_views_keep_all_but_the_spelling_of_the_patient() -> None:
    assert normalise_subject("Mass-Training_P_133_LEFT_CC_1") == "Mass-Training_P_00133_LEFT_CC_1"
