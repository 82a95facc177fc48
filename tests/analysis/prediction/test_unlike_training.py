"""In which way an image is unlike the training images."""

import pytest

from tfm.analysis.prediction.unlike_training import describe_differences, is_crop
from tfm.data.new_images.image_facts import ImageFacts
from tfm.training.inputs.images_seen import ImagesSeen

RANGES = {"scale": (5.0, 9.0), "level": (0.2, 0.6), "contrast": (0.1, 0.2), "area": (0.4, 0.6), "box": (0.7, 0.8)}
USUAL = {"scale": 8.0, "level": 0.5, "contrast": 0.15, "area": 0.5, "box": 0.75}
SEEN = ImagesSeen(steps={}, images=100, ranges=RANGES, inverted=False, crops=False, makers=["", "Lumisys"])
FILM = ImageFacts(modality="MG", maker="LUMISYS", is_dicom=True)


def describe(facts=FILM, record=(), **measured):
    return describe_differences(facts, dict(record), USUAL | measured, SEEN)


def test_an_image_like_those_of_training_has_no_remark():
    assert describe() == []
    assert describe(level=0.65) == []  # a little outside of 100 images is usual


@pytest.mark.parametrize(
    ("given", "remark"),
    [
        ({"facts": ImageFacts(modality="MG", maker="ACME", is_dicom=True)}, "made by ACME"),
        ({"facts": ImageFacts(modality="CR", is_dicom=True)}, "modality CR"),
        ({"facts": ImageFacts(modality="MG", intent="FOR PROCESSING", is_dicom=True)}, "raw values of the detector"),
        ({"record": {"frame": "35 of 70"}}, "frame 35 of 70"),
        ({"record": {"polarity": {"turned": True}}}, "black on white"),
        ({"level": 0.9}, "unusual grey levels"),
        ({"contrast": 0.01}, "unusual grey levels"),
        ({"area": 0.95}, "unusual shape"),
        ({"scale": 26.0}, "about 15 times as many pixels as the training images"),
        ({"scale": 2.0}, "unusual size: the training images have about 11 times as many pixels"),
        ({"scale": 0.5}, "tiny"),
    ],
    ids=lambda given: str(given)[:30],
)
def test_each_difference_is_described(given, remark):
    (found,) = describe(**given)
    assert remark in found


def test_breast_from_edge_to_edge_is_a_crop_unless_the_model_learned_from_crops():
    crops = ImagesSeen(steps={}, images=9, ranges={"box": (0.9, 1.0)}, inverted=False, crops=True, makers=None)
    assert is_crop({"box": 0.99}, SEEN)
    assert not is_crop({"box": 0.99}, crops)
    assert not is_crop(USUAL, SEEN)
