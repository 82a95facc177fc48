"""Networks by name: one grey image in, one logit out, whatever the architecture."""

import pytest
import torch

from tfm.core.errors import SettingsError
from tfm.core.registry import find_stage
from tfm.core.settings import resolve
from tfm.core.workspace import Workspace
from tfm.models.build import build, zoo_names
from tfm.models.card import origin, parameters
from tfm.models.settings import ModelSettings

ARCHITECTURES = [*zoo_names(), "resnet18", "vit_tiny_patch16_224"]


def test_mammocnn_has_the_published_number_of_parameters():
    assert parameters(build(ModelSettings(architecture="MammoCNN"), (512, 512))) == 3_337_057


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_one_logit_an_image_and_learns_in_every_layer(architecture):
    torch.manual_seed(1)
    network = build(ModelSettings(architecture=architecture), (128, 64))
    logits = network(torch.randn(2, 1, 128, 64))
    assert logits.shape == (2, 1)
    logits.sum().backward()
    dead = [name for name, tensor in network.named_parameters() if tensor.grad is None]
    assert dead == []


def test_dropout_rises_evenly_over_the_stages_of_mammocnn():
    network = build(ModelSettings(dropout=0.4), (64, 64))
    shares = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_mammocnn_refuses_a_size_it_cannot_pool_evenly():
    with pytest.raises(SettingsError, match="100×128") as refusal:
        build(ModelSettings(), (100, 128))
    assert "multiples of 64" in refusal.value.hint


def test_the_same_seed_gives_the_same_first_weights():
    def first_weights():
        torch.manual_seed(3)
        return build(ModelSettings(), (64, 64)).state_dict()

    again = first_weights()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first_weights().items())


def test_an_unknown_architecture_is_named_with_the_nearest_one():
    with pytest.raises(SettingsError, match="resnet_18x") as refusal:
        build(ModelSettings(architecture="resnet_18x"), (64, 64))
    assert "resnet18" in refusal.value.hint


def test_every_preset_that_ships_resolves_and_can_be_built(workspace: Workspace):
    for name in workspace.preset_names("models"):
        preset = workspace.preset("models", name)
        if preset.stage == "train":
            settings = resolve(find_stage("train").settings, preset.settings, {"dataset": "d", "cache": "c"})
            assert parameters(build(settings.model, (128, 128))) > 0


def test_a_table_says_where_weights_come_from():
    assert origin("none") == "none: from scratch"
    assert origin("file:/somewhere/mine.pth") == "mine.pth: origin unknown"
