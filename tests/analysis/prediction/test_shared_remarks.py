"""What is remarked on all images is said once."""

from tfm.analysis.prediction.predicted_images import PredictedImage
from tfm.analysis.prediction.shared_remarks import merge_remarks, split_shared_remarks
from tfm.data.new_images.image_facts import ImageFacts


def make_image(name, *remarks):
    return PredictedImage(name, ImageFacts(), 0.5, remarks, "")


def test_a_remark_on_all_images_is_said_once_with_the_range_of_its_number():
    size = "unusual size: about {} times as many pixels as the training images"
    images = [make_image("a", size.format("9.5"), "modality CR"), make_image("b", size.format("15"))]
    assert split_shared_remarks(images) == ([size.format("9.5 to 15")], {"a": ["modality CR"], "b": []})


def test_the_patient_that_a_model_has_seen_stays_with_its_image():
    images = [make_image(name, f"trained on patient P_0000{number}") for number, name in enumerate("ab")]
    shared, others = split_shared_remarks(images)
    assert shared == []
    assert others["b"] == ["trained on patient P_00001"]


def test_a_remark_on_the_only_image_stays_with_it():
    assert split_shared_remarks([make_image("a", "modality CR")]) == ([], {"a": ["modality CR"]})


def test_remarks_that_differ_in_numbers_alone_are_one_with_the_names_of_its_images():
    remarks = {"a": ["grey level 0.2"], "b": ["modality CR"], "c": ["grey level 0.25"]}
    assert merge_remarks(remarks) == [(["a", "c"], "grey level 0.2 to 0.25"), (["b"], "modality CR")]
