"""Networks by name: one grey image in, one logit out, whatever the architecture."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from tfm.core.errors import SettingsError
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.model_card import count_parameters, describe_weights
from tfm.models.settings import ModelSettings, list_architectures

ARCHITECTURES = ["MammoCNN", "resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"]


def test_mammocnn_has_the_published_number_of_parameters():
    assert count_parameters(build_model(ModelSettings(architecture="MammoCNN"), (512, 512))) == 3_337_057


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_one_logit_an_image_and_learns_in_every_layer(architecture):
    torch.manual_seed(1)
    network = build_model(ModelSettings(architecture=architecture), (128, 64))
    logits = network(torch.randn(2, 1, 128, 64))
    assert logits.shape == (2, 1)
    logits.sum().backward()
    dead = [name for name, tensor in network.named_parameters() if tensor.grad is None]
    assert dead == []


def test_dropout_rises_evenly_over_the_stages_of_mammocnn():
    network = build_model(ModelSettings(dropout=0.4), (64, 64))
    shares = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_mammocnn_refuses_a_size_it_cannot_pool_evenly():
    with pytest.raises(SettingsError, match="100×128") as refusal:
        build_model(ModelSettings(), (100, 128))
    assert "multiples of 64" in refusal.value.hint


def test_the_same_seed_gives_the_same_first_weights():
    def first_weights():
        torch.manual_seed(3)
        return build_model(ModelSettings(), (64, 64)).state_dict()

    again = first_weights()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first_weights().items())


def test_the_architectures_that_can_be_named_are_those_that_can_be_built():
    assert list_architectures() == {*timm.list_models(), "mammocnn", "swin_pico"}


def test_an_unknown_architecture_is_refused_when_it_is_named_with_the_nearest_one():
    with pytest.raises(SettingsError, match=r"there is no architecture called 'resnet_18x'.*resnet18") as refusal:
        resolve(ModelSettings, {}, {"architecture": "resnet_18x"})
    assert refusal.value.fields == ("architecture",)


def test_an_architecture_may_be_named_with_its_weights_and_ours_in_any_case():
    assert ModelSettings(architecture="resnet18.a1_in1k").architecture == "resnet18.a1_in1k"
    assert ModelSettings(architecture="mammocnn") == ModelSettings(architecture="MammoCNN")


def test_an_architecture_is_looked_up_without_importing_timm():
    script = """
import sys
from tfm.models.settings import ModelSettings
ModelSettings(architecture="resnet18")
print("timm" in sys.modules, "torch" in sys.modules)
"""
    project = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=project, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_a_table_says_where_weights_come_from():
    assert describe_weights("none") == "none: from scratch"
    assert describe_weights("imagenet") == "ImageNet"
    assert describe_weights("run:2026-01-01_train-MammoCNN_ab12") == "run 2026-01-01_train-MammoCNN_ab12"
    assert describe_weights("file:/somewhere/mine.pth") == "mine.pth: origin unknown"
