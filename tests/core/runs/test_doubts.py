"""What cannot be meant is asked about before a start, and nothing that is usual is."""

import time

import pytest

from tests.estimated_models import COST, GIVEN, learn, learn_weights, write_data
from tfm.core import machine
from tfm.core.errors import WeightsError
from tfm.core.runs.doubts import find_doubts
from tfm.core.runs.estimates import read_estimates
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.suggested_models import suggest_models


@pytest.fixture
def workspace(workspace, empty_user_cache):
    return write_data(workspace)


def doubt(workspace, *presets, is_here=True, **given):
    return find_doubts(workspace, "train", presets, GIVEN | given, is_here=is_here)


def test_no_model_that_ships_raises_a_doubt(workspace):
    assert doubt(workspace, *workspace.list_presets("models")) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning_rate": "1e9"}, "learning rate of 1e+09 is far outside the usual ones, 0.000001 to 0.1"),
        ({"learning_rate": "1e-12"}, "learning rate of 1e-12"),
        ({"seeds": "1000"}, "1,000 runs"),
        ({"batch_size": "512"}, "larger than all 100 training images"),
        ({"epochs": "50000"}, "50,000 epochs"),
    ],
)
def test_an_absurd_value_is_named(workspace, given, words):
    (found,) = doubt(workspace, "MammoCNN", **given)
    assert words in found.message
    assert found.hint
    assert not found.is_certain, "a warning is enough"


def test_more_memory_or_time_than_there_is_must_be_confirmed(workspace):
    whole = machine.read_memory_gib() * 2**30
    learn(workspace, "MammoCNN", COST | {"memory": [whole, 0]})
    (found,) = doubt(workspace, "MammoCNN")
    assert found.is_certain
    assert "GiB of memory" in found.message
    learn(workspace, "MammoCNN", COST)
    assert doubt(workspace, "MammoCNN") == []
    found = doubt(workspace, "MammoCNN", epochs=900, seeds=60)
    (weeks,) = [one for one in found if "disk space" not in one.message]  # a small disk may be short as well
    assert "65 days" in weeks.message
    assert weeks.is_certain


def test_the_time_and_memory_of_this_machine_raise_no_doubt_about_a_start_on_a_cluster(workspace):
    learn(workspace, "MammoCNN", COST | {"memory": [2 * machine.read_memory_gib() * 2**30, 0]})
    found = doubt(workspace, "MammoCNN", is_here=False, epochs=900, seeds=120)
    (runs,) = [one.message for one in found if "disk space" not in one.message]
    assert runs == "these are 120 runs"


def test_a_network_that_cannot_take_the_images_is_named_before_its_turn_comes(workspace):
    learn(workspace, "MammoCNN", {"problem": "MammoCNN cannot take images of 160×160 pixels"})
    (found,) = doubt(workspace, "EfficientNetLite0_OPW", "MammoCNN")
    assert (found.message, found.is_certain) == ("MammoCNN cannot take images of 160×160 pixels", True)
    assert "leave out MammoCNN" in found.hint


def test_a_queue_with_weights_out_of_reach_creates_nothing_and_names_the_models(workspace):
    learn_weights("resnet18", None, checked=time.time())
    with pytest.raises(WeightsError, match="ResNet18_CFT cannot start") as caught:
        find_or_create_job(workspace, "train", GIVEN, ["MammoCNN", "ResNet18_CFT"], needs_weights=True)
    assert [name for name in ("MammoCNN", "ResNet18_CFT") if caught.value.concerns(name)] == ["ResNet18_CFT"]
    assert not workspace.plans_folder.exists()
    scratch = find_or_create_job(
        workspace, "train", GIVEN | {"weights": "none"}, ["MammoCNN", "ResNet18_CFT"], needs_weights=True
    )
    assert len(scratch.read_steps()) == 2


def test_what_is_suggested_can_start_here_and_says_why(workspace):
    presets = workspace.list_presets("models")
    found = suggest_models(workspace, "train", read_estimates(workspace, "train", presets, GIVEN), GIVEN)
    assert list(found) == ["EfficientNetLite0_OPW", "EfficientNetLite0_CFT"], "only their weights are here"
    learn_weights("resnet18", 45.0)
    learn(workspace, "EfficientNetLite0_CFT", COST | {"memory": [1e15, 0]})
    learn(workspace, "ResNet18_CFT")
    found = suggest_models(workspace, "train", read_estimates(workspace, "train", presets, GIVEN), GIVEN)
    assert list(found) == ["EfficientNetLite0_OPW", "ResNet18_CFT"]
    assert all(reason.endswith(".") for reason in found.values())
