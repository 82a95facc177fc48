"""What of a space has an effect on its trials, and which spaces are refused before the first trial."""

from __future__ import annotations

import pytest

from tests.training.small_dataset import make_small_dataset
from tfm.core.errors import SettingsError
from tfm.core.registry import find_stage
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.training.tune.trial_settings import TrialTemplate

DATA = {"dataset": "pocket", "cache": "pocket"}
ROTATION = {"rotation": {"low": 0.0, "high": 30.0}}


@pytest.fixture
def products(workspace: Workspace) -> Workspace:
    make_small_dataset(workspace)
    return workspace


def make_template(model: str = "ResNet50_Head") -> TrialTemplate:  # a model that is trained without augmentation
    return TrialTemplate(find_stage("train"), presets.load_preset("models", model), DATA)


def refuse(workspace: Workspace, space: dict) -> SettingsError:
    with pytest.raises(SettingsError) as error:
        make_template().check_space(workspace, space)
    assert error.value.fields == ("space",)
    return error.value


def test_setting_without_effect_for_any_value_is_refused(products):
    assert "rotation has no effect" in refuse(products, ROTATION).message
    for augment in ([True], [True, False]):
        make_template().check_space(products, ROTATION | {"augment": augment})


def test_value_without_effect_is_dropped_from_its_trial():
    values = {"augment": False, "rotation": 9.0, "dropout": 0.1}
    assert make_template().fill(values) == DATA | {"augment": False, "dropout": 0.1}
    unlabelled = {"label_percent": 100.0, "unlabelled": "pseudo", "confidence": 0.9}
    assert make_template().fill(unlabelled) == DATA | {"label_percent": 100.0}, "also what depends on it"


def test_weights_of_a_missing_run_are_refused(products):
    error = refuse(products, {"weights": ["imagenet", "run:nosuch"]})
    assert "run:nosuch for weights" in error.message
    assert "'nosuch'" in error.message


def test_value_that_is_valid_beside_another_value_is_accepted(products):
    space = {"architecture": ["MammoCNN", "resnet18"], "weights": ["none", "imagenet"]}
    make_template().check_space(products, space)
    assert "no ImageNet weights" in refuse(products, {"architecture": ["MammoCNN"]}).message


@pytest.mark.parametrize("space", presets.list_presets("tune"))
def test_each_shipped_space_is_accepted_with_its_model_or_with_every_trainable_one(products, space):
    settings = presets.load_preset("tune", space).settings
    for name in [settings["model"]] if "model" in settings else presets.list_presets("models"):
        preset = presets.load_preset("models", name)
        if preset.stage == "train" and preset.settings["model"].get("trained") != "none":
            make_template(name).check_space(products, settings["space"])
