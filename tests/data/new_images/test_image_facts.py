"""What a header and a name say about an image. Nothing is guessed."""

import numpy as np
import pydicom
import pytest

from tests.imaging.dicom_files import build_dataset, save_dicom
from tfm.data.new_images.image_facts import read_image_facts


def read(folder, name="image.dcm", **values):
    return read_image_facts(save_dicom(build_dataset(**values), folder), name)


def code_view(value):
    item = pydicom.Dataset()
    item.CodeValue = value
    return pydicom.Sequence([item])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"PatientID": "Mass-Test_P_00173_LEFT_CC"}, ("P_00173", "LEFT", "CC", "header")),
        ({"PatientID": "H 17", "Laterality": "R", "ViewPosition": "MLO"}, ("H 17", "RIGHT", "MLO", "header")),
        ({"PatientID": "H 17", "ImageLaterality": "L"}, ("H 17", "LEFT", "", "header")),
        ({"PatientID": "H 17", "ViewCodeSequence": code_view("R-10226")}, ("H 17", "", "MLO", "header")),
        ({"PatientID": "p-133", "PatientOrientation": "CC"}, ("P_00133", "", "CC", "header")),
        ({"PatientID": "Anonymous", "PatientOrientation": ["A", "R"]}, ("", "", "", "")),
        ({}, ("", "", "", "")),
    ],
    ids=str,
)
def test_the_header_names_patient_side_and_view(tmp_path, header, expected):
    facts = read(tmp_path, **header)
    assert (facts.patient, facts.side, facts.view, facts.source) == expected


def test_the_name_adds_what_the_header_does_not_say_and_a_contradiction_is_reported(tmp_path):
    name = "ward/P_00133_LEFT_MLO.dcm"
    facts = read(tmp_path, name, PatientID="Anonymous", ImageLaterality="R")
    assert (facts.patient, facts.side, facts.view) == ("P_00133", "RIGHT", "MLO")
    assert facts.source == "header and name"
    assert facts.conflict == "LEFT"


@pytest.mark.parametrize("name", ["image7.png", "left_cc.png", "crop_12_left_cc.png", "patient 5.png"])
def test_a_name_of_another_kind_names_nobody(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.arange(9).tobytes())
    facts = read_image_facts(path, name)
    assert (facts.patient, facts.side, facts.view, facts.is_dicom) == ("", "", "", False)
