"""Model presets: settings and descriptions."""

import re

import pytest

from tests.models.networks import NETWORKS, PRESETS, load_model_settings
from tfm.core.settings import presets


def test_classic_presets_use_the_weights_and_trained_part_of_their_name():
    offered = {name: load_model_settings(name) for name in NETWORKS}
    trained = {"OPW": "none", "PFT": "last_stage", "CFT": "all"}
    families = {
        "EfficientNetLite0": ("tf_efficientnet_lite0", ["OPW", "CFT"]),
        "ResNet18": ("resnet18", ["OPW", "PFT", "CFT"]),
        "DenseNet121": ("densenet121", ["OPW", "PFT", "CFT"]),
        "EfficientNetB3": ("efficientnet_b3", ["OPW", "CFT"]),
    }
    expected = {
        f"{family}_{way}": (architecture, "imagenet", trained[way])
        for family, (architecture, ways) in families.items()
        for way in ways
    } | {"MammoCNN": ("MammoCNN", "none", "all"), "ResNet50_Head": ("resnet50", "imagenet", "head")}
    actual = {name: (one.architecture, one.weights, one.trained) for name, one in offered.items()}
    assert actual.items() >= expected.items()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_described_in_at_most_three_sentences(name):
    preset = presets.load_preset("models", name)
    assert len(preset.title) <= 50
    assert len(re.findall(r"\.(?:\s|$)", preset.about)) in (1, 2, 3)
