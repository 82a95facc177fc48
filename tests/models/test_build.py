"""Networks of every architecture take one grey image and return one logit."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional

from tests.models.networks import NETWORKS, load_model_settings
from tfm.core.errors import SettingsError
from tfm.core.settings.resolve import resolve
from tfm.models import zoo
from tfm.models.build import build_model
from tfm.models.model_summary import count_parameters, describe_weights
from tfm.models.settings import ZOO, ModelSettings, list_architectures

ARCHITECTURES = [*ZOO.values(), "resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"]


def test_mammocnn_has_the_published_number_of_parameters():
    assert count_parameters(build_model(ModelSettings(architecture="MammoCNN"), (512, 512))) == 3_337_057


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_returns_one_logit_and_has_gradients_in_every_layer(architecture):
    torch.manual_seed(1)
    network = build_model(ModelSettings(architecture=architecture), (128, 64))
    logits = network(torch.randn(2, 1, 128, 64))
    assert logits.shape == (2, 1)
    logits.sum().backward()
    dead = [name for name, tensor in network.named_parameters() if tensor.grad is None]
    assert dead == []


PRESET_ARCHITECTURES = sorted({load_model_settings(name).architecture for name in NETWORKS} - set(ARCHITECTURES))
FAMILIES = ["beit", "convnext", "davit", "efficientformer_v2", "ghostnet", "inception_v4", "maxxvit", "mlp_mixer"]
FAMILIES += ["mobilenetv3", "nfnet", "pvt_v2", "regnet", "repvit", "rexnet", "swin_transformer_v2", "vgg", "xception"]


def measure_first_loss(settings: ModelSettings, size: tuple[int, int]) -> float:
    """Measure the loss of a new network in training, on four images, of which two are malignant."""
    torch.manual_seed(1)
    network = build_model(settings, size).train()
    with torch.no_grad():
        logits = network(torch.randn(4, 1, *size)).flatten()
    return float(functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 1.0, 0.0, 1.0])))


@pytest.mark.parametrize("head", [None, 128])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *PRESET_ARCHITECTURES])
def test_training_starts_at_the_loss_of_an_even_guess(architecture, head):
    settings = ModelSettings(architecture=architecture, head=head)
    assert measure_first_loss(settings, (64, 64)) == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_timm_starts_at_the_loss_of_an_even_guess(family):
    architecture = min(timm.list_models(module=family), key=len)
    card = timm.get_pretrained_cfg(architecture)
    settings = ModelSettings(architecture=architecture)
    assert measure_first_loss(settings, card.input_size[1:]) == pytest.approx(math.log(2), abs=0.05)


def test_dropout_rises_evenly_over_the_stages_of_mammocnn():
    network = build_model(ModelSettings(dropout=0.4), (64, 64))
    shares = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_mammocnn_refuses_a_size_that_is_no_multiple_of_64():
    with pytest.raises(SettingsError, match="100×128") as refusal:
        build_model(ModelSettings(), (100, 128))
    assert "multiples of 64" in refusal.value.hint


def test_same_seed_gives_the_same_initial_weights():
    def initialize():
        torch.manual_seed(3)
        return build_model(ModelSettings(), (64, 64)).state_dict()

    again = initialize()
    assert all(torch.equal(tensor, again[name]) for name, tensor in initialize().items())


def test_listed_architectures_are_those_of_timm_and_the_zoo():
    assert list_architectures() == {*timm.list_models(), *ZOO}


def test_every_file_of_the_zoo_is_listed_under_its_name():
    files = {path.stem for path in Path(zoo.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == set(ZOO)
    assert {name.lower() for name in ZOO.values()} == files


def test_unknown_architecture_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match=r"'resnet_18x'.*resnet18") as refusal:
        resolve(ModelSettings, {}, {"architecture": "resnet_18x"})
    assert refusal.value.fields == ("architecture",)


def test_architecture_may_include_its_weights_and_ours_any_case():
    assert ModelSettings(architecture="resnet18.a1_in1k").architecture == "resnet18.a1_in1k"
    assert ModelSettings(architecture="mammocnn") == ModelSettings(architecture="MammoCNN")


def test_checking_an_architecture_does_not_import_timm():
    script = """
import sys
from tfm.models.settings import ModelSettings
ModelSettings(architecture="resnet18")
print("timm" in sys.modules, "torch" in sys.modules)
"""
    project = Path(__file__).resolve().parents[2]
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=project, check=True)
    assert process.stdout.split() == ["False", "False"]


def test_weights_are_described_by_their_origin():
    assert describe_weights("none") == "none: from scratch"
    assert describe_weights("imagenet") == "ImageNet"
    assert describe_weights("run:2026-01-01_train-MammoCNN_ab12") == "run 2026-01-01_train-MammoCNN_ab12"
    assert describe_weights("file:/somewhere/mine.pth", ["mine.pth"]) == "mine.pth: origin unknown"
    assert describe_weights("file:/somewhere/exported.safetensors") == "exported.safetensors"
