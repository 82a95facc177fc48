"""Only the trained part of a network has gradients; everything else stays exactly as it was."""

import pytest
import torch

from tests.models.networks import CASES, SIZE, SWIN, build_network, build_once
from tfm.core.errors import SettingsError
from tfm.core.settings.presets import load_preset
from tfm.models.build import build_model
from tfm.models.freezing import find_last_stage, freeze, freeze_batch_norm, set_train_mode
from tfm.models.head import get_classifier_names
from tfm.models.settings import ModelSettings


@pytest.mark.parametrize("settings", CASES)
def test_only_the_trained_part_has_gradients_and_moving_statistics(settings):
    network = build_network(settings)
    set_train_mode(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    logits = network(torch.randn(2, 1, *SIZE))
    assert logits.shape == (2, 1)
    if settings.trained != "none":
        logits.sum().backward()
    got = {name for name, tensor in network.named_parameters() if tensor.grad is not None}
    every = {name for name, _ in network.named_parameters()}
    classifiers = tuple(f"{name}." for name in get_classifier_names(network))
    behind = {name for name in every if name.startswith(classifiers)}
    assert (
        got == {"all": every, "last_stage": find_last_stage(network), "head": behind, "none": set()}[settings.trained]
    )
    assert got or settings.trained == "none"
    statistics = {name for name, _ in network.named_buffers() if "running" in name}
    moved = {name for name in statistics if not torch.equal(before[name], network.state_dict()[name])}
    layers = {name.rpartition(".")[0] for name in got}
    assert moved == {name for name in statistics if name.rpartition(".")[0] in layers}


@pytest.mark.parametrize(
    ("architecture", "first", "below"),
    [
        ("MammoCNN", "features.3.0.weight", "features.2."),
        ("resnet18", "layer4.0.conv1.weight", "layer3."),
        ("densenet121", "features.transition3.norm.weight", "features.denseblock3."),
        ("efficientnet_b3", "blocks.5.0.conv_pw.weight", "blocks.4."),
        (SWIN, "layers.3.downsample.norm.weight", "layers.2."),
        ("vit_tiny_patch16_224", "blocks.11.norm1.weight", "blocks.10."),
    ],
)
def test_last_stage_is_everything_after_the_stage_before(architecture, first, below):
    network = build_once(architecture)
    names = [name for name, _ in network.named_parameters()]
    kept = [name for name in names if name in find_last_stage(network)]
    assert kept[0] == first
    assert names[names.index(first) - 1].startswith(below)
    assert any(name.startswith(network.pretrained_cfg["classifier"]) for name in kept)


def test_the_preset_of_densenet_names_all_that_it_trains():
    preset = load_preset("models", "DenseNet121_PFT")
    assert preset.settings["model"]["trained"] == "last_stage"
    trained = {name.removeprefix("features.").partition(".")[0] for name in find_last_stage(build_once("densenet121"))}
    assert trained == {"transition3", "denseblock4", "norm5", "classifier"}
    for words in ("last dense block", "transition3", "classifier"):
        assert words in preset.about


def test_plain_train_mode_would_move_frozen_statistics():
    """The test of trained parts would fail with plain `train()`."""
    network = build_network(ModelSettings(architecture="resnet18", trained="last_stage"))
    before = network.bn1.running_mean.clone()
    network.train()
    network(torch.randn(2, 1, *SIZE))
    assert not torch.equal(network.bn1.running_mean, before)


def test_frozen_layers_have_no_dropout():
    network = build_model(ModelSettings(dropout=0.5, trained="last_stage"), SIZE)
    freeze(network, "last_stage")
    set_train_mode(network)
    images = torch.randn(2, 1, *SIZE)
    assert torch.equal(network.features[:3](images), network.features[:3](images))
    assert not torch.equal(network.features(images), network.features(images))


@pytest.mark.parametrize("architecture", ["MammoCNN", "resnet18", "tf_efficientnet_lite0"])
def test_frozen_batch_norm_keeps_its_first_statistics_and_scales(architecture):
    network = build_model(ModelSettings(architecture=architecture), SIZE)
    images = torch.randn(2, 1, *SIZE)
    with torch.no_grad():
        expected = network.eval()(images)
    freeze_batch_norm(network)
    set_train_mode(network)
    assert torch.allclose(network(images), expected, atol=1e-6)
    trained = {name for name, _ in network.named_parameters()}
    normalised = {name.rpartition(".")[0] for name in network.state_dict() if name.endswith("running_mean")}
    assert normalised
    assert not trained & {f"{layer}.{part}" for layer in normalised for part in ("weight", "bias")}


def test_network_without_batch_norm_has_none_to_freeze():
    with pytest.raises(SettingsError, match="has no batch normalisation"):
        freeze_batch_norm(build_once(SWIN))


def test_network_without_declared_stages_has_no_last_stage():
    with pytest.raises(SettingsError, match="does not declare") as refusal:
        freeze(torch.nn.Sequential(torch.nn.Linear(2, 2)), "last_stage")
    assert refusal.value.fields == ("trained",)
