"""A network with colour weights sees in a grey image what it would see in an image with three equal channels."""

import copy

import pytest
import timm
import torch

from tfm.core.errors import SettingsError
from tfm.models.build import build_model
from tfm.models.deeplab import build_segmenter
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings, SegmenterSettings

SIZE = (64, 96)
IMAGENET = Normalisation.of_channels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FIXED_SIZE = {"swin_tiny_patch4_window7_224"}


def normalise_by_card(grey: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 3, H, W)
    mean, deviation = (torch.tensor(one).view(1, 3, 1, 1) for one in zip(*IMAGENET.colours, strict=True))
    return (grey.expand(-1, 3, -1, -1) - mean) / deviation


def normalise(grey: torch.Tensor) -> torch.Tensor:
    return (grey - IMAGENET.mean) / IMAGENET.deviation


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b3", "convnext_atto", *FIXED_SIZE])
def test_feature_map_equals_that_of_the_colour_network_up_to_the_border(name):
    torch.manual_seed(3)
    ours = build_model(ModelSettings(architecture=name), SIZE, IMAGENET.colours).eval()
    theirs = timm.create_model(name, num_classes=1, **({"img_size": SIZE} if name in FIXED_SIZE else {})).eval()
    theirs.load_state_dict(ours.state_dict())
    grey = torch.rand(2, 1, *SIZE)
    with torch.inference_mode():
        features = ours.forward_features(normalise(grey))
        expected = theirs.forward_features(normalise_by_card(grey))
        torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        torch.testing.assert_close(copy.deepcopy(ours)(normalise(grey)), theirs(normalise_by_card(grey)))


def test_backbone_of_a_segmenter_sees_the_same_colours():
    torch.manual_seed(3)
    settings = SegmenterSettings(backbone="resnet18")
    network = build_segmenter(settings, ("background", "lesion"), (64, 64), IMAGENET.colours).eval()
    colour = copy.deepcopy(network.backbone)
    grey = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        features = network.backbone(normalise(grey))
        expected = torch.nn.functional.conv2d(normalise_by_card(grey), colour.conv1.weight, stride=2, padding=3)
        torch.testing.assert_close(features[0], colour.act1(colour.bn1(expected)), rtol=1e-5, atol=1e-5)
        assert network(normalise(grey)).shape == (2, 2, 64, 64)


def test_grey_images_are_normalised_with_the_averages_of_the_channels():
    assert IMAGENET.mean == pytest.approx(0.449)
    assert IMAGENET.deviation == pytest.approx(0.226)


def test_facts_of_old_runs_have_no_colours():
    assert Normalisation.from_facts({"mean": 0.4, "deviation": 0.2}) == Normalisation(0.4, 0.2)


def test_network_that_does_not_begin_with_a_convolution_over_colours_is_refused():
    with torch.device("meta"), pytest.raises(SettingsError, match="convolution over three colours") as refusal:
        build_model(ModelSettings(architecture="tresnet_m"), (224, 224), IMAGENET.colours)
    assert "weights=none" in refusal.value.hint
