"""CBIS-DDSM's names of views, as they occur in paths and headers."""

import pytest

from tfm.data.cbis_name import CbisName, find_cbis_names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Mass-Training_P_00133_LEFT_CC", CbisName("P_00133", "LEFT", "CC", "")),
        ("p-133 right mlo.png", CbisName("P_00133", "RIGHT", "MLO", "")),
        ("Calc-Test_P_00038_RIGHT_MLO_2/1-1.dcm", CbisName("P_00038", "RIGHT", "MLO", "2")),
        ("P_00001_LEFT_CC_mass_1", CbisName("P_00001", "LEFT", "CC", "1")),
    ],
)
def test_a_name_gives_patient_side_view_and_the_lesion_of_a_crop(text, name):
    assert find_cbis_names(text) == [name]


@pytest.mark.parametrize("text", ["P_00133", "P_00133_CC", "crop_12_left_cc", "left_cc"])
def test_other_names_give_nothing(text):
    assert find_cbis_names(text) == []
