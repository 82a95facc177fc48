"""Lesion-guided classifiers: an encoder whose pooled features and places are classified and joined."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from tests.models.networks import SWIN, build_once
from tfm.core.errors import SettingsError
from tfm.models.build import build_model
from tfm.models.features import compute_feature_map
from tfm.models.lesion_guided import TOP_SHARE, score_places
from tfm.models.settings import ModelSettings
from tfm.models.weights import load_weights

SMALL = ["test_resnet", "test_efficientnet", "MammoCNN", "swin_pico"]
LARGE = [pytest.param(name, marks=pytest.mark.long) for name in ("resnet18", "densenet121", "convnext_atto", SWIN)]
STRIDES = {"stride16": 16, "stride8": 8}


def build_guided(architecture="test_resnet", size=(64, 64), **given):
    torch.manual_seed(1)
    settings = {"lesion_guidance": "stride16"} | given
    return build_model(ModelSettings(architecture=architecture, **settings), size)


@pytest.mark.parametrize("guidance", STRIDES)
@pytest.mark.parametrize("architecture", [*SMALL, *LARGE])
def test_training_starts_at_an_even_guess_and_reaches_every_layer(architecture, guidance):
    network = build_guided(architecture, lesion_guidance=guidance).train()
    logits = network(torch.randn(4, 1, 64, 64))
    assert logits.shape == (4, 1)
    loss = functional.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)
    loss.backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []


@pytest.mark.parametrize("guidance", STRIDES)
@pytest.mark.parametrize("architecture", ["test_resnet", "swin_pico"])
@pytest.mark.parametrize("size", [(64, 128), pytest.param((1152, 512), marks=pytest.mark.long)])
def test_each_square_of_the_stride_is_a_place(architecture, guidance, size):
    network = build_guided(architecture, size, lesion_guidance=guidance).eval()
    with torch.inference_mode():
        _, places = network.locate(torch.randn(1, 1, *size))
    assert places.shape == (1, 3, size[0] // STRIDES[guidance], size[1] // STRIDES[guidance])


def test_place_is_described_by_its_features_and_the_mean_of_its_neighbourhood():
    network = build_guided().eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        _, described = network.encode(images)
    own, around = described.chunk(2, dim=1)
    assert torch.allclose(around[..., 1, 2], own[..., 0:3, 1:4].mean((2, 3)), atol=1e-5)
    assert torch.allclose(around[..., 0, 0], own[..., 0:2, 0:2].mean((2, 3)), atol=1e-5)


def test_scores_of_the_places_are_the_mean_log_odds_of_the_most_malignant_and_benign_ones():
    places = torch.randn(2, 3, 40, 30)
    top = round(TOP_SHARE * 40 * 30)
    for row, score in zip(places, score_places(places), strict=True):
        for label, own in ((2, score[0]), (1, score[1])):
            probs = row.softmax(0)[label].flatten()
            highest = torch.sort(torch.log(probs / (1 - probs)), descending=True).values[:top]
            assert own.item() == pytest.approx(highest.mean().item(), rel=1e-4)


def test_small_image_is_scored_by_its_most_malignant_place():
    places = torch.zeros(1, 3, 4, 4)
    places[0, 2, 1, 3] = 5
    assert score_places(places)[0, 0].item() == pytest.approx(5 - math.log(2))


def test_logit_joins_both_heads():
    network = build_guided().eval()
    images = torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        network.joint.weight.copy_(torch.tensor([[0.3, 0.8, -0.6]]))
        network.joint.bias.fill_(-0.2)
        logits, places = network.locate(images)
        scores = score_places(places)
        expected = 0.3 * network.encoder(images)[:, 0] + 0.8 * scores[:, 0] - 0.6 * scores[:, 1] - 0.2
    assert torch.allclose(logits[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["test_resnet", "swin_pico"])
def test_larger_image_is_classified_tile_by_tile(architecture):
    """The tiles of 64 pixels start at 0, 46, 93 and 140."""
    network, images = build_guided(architecture).eval(), torch.randn(2, 1, 64, 204)
    with torch.no_grad():
        logits, places = network.locate(images)
        tiles = [network.locate(images[..., left : left + 64]) for left in (0, 47, 93, 140)]
    assert torch.equal(logits, torch.stack([logit for logit, _ in tiles]).amax(0))
    assert places.shape == (2, 3, 4, 13)
    assert torch.equal(places[..., :3], tiles[0][1][..., :3])
    assert torch.equal(places[..., -3:], tiles[-1][1][..., -3:])
    both = (tiles[0][1][..., 3] + tiles[1][1][..., 0]) / 2
    assert torch.allclose(places[..., 3], both)


def test_copy_is_independent_of_its_original():
    """A moving average is such a copy."""
    network = build_guided().eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        before = network(images)
        copied = copy.deepcopy(network)
        for tensor in copied.parameters():
            tensor.zero_()
        assert torch.equal(network(images), before)
        assert torch.equal(copied(images), torch.zeros(2, 1))


def test_encoder_of_a_trained_model_can_start_a_plain_one(tmp_path):
    guided, plain = build_guided(), build_guided(lesion_guidance="none")
    torch.save({"network": guided.state_dict(), "ema": None}, tmp_path / "best.pt")
    load_weights(plain, tmp_path / "best.pt")
    images = torch.randn(1, 1, 64, 64)
    maps = [compute_feature_map(one.eval(), images) for one in (guided.encoder, plain)]
    assert torch.equal(*maps)


@pytest.mark.parametrize(("architecture", "guidance"), [("test_vit", "stride16"), ("mixer_s32_224", "stride16")])
def test_encoder_without_a_map_of_that_stride_is_refused_by_name(architecture, guidance):
    with pytest.raises(SettingsError, match="does not output a feature map of stride 16") as refusal:
        build_guided(architecture, (160, 160), lesion_guidance=guidance)(torch.zeros(1, 1, 160, 160))
    assert "resnet18" in refusal.value.hint


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "swin_pico"])
def test_max_pooling_classifies_average_and_maximum_of_the_last_features(architecture):
    network = build_once(architecture, max_pooling=True).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        features = compute_feature_map(network, images)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        expected = functional.linear(pooled, *network.get_classifier().parameters())
        assert torch.allclose(network(images), expected, atol=1e-5)


AVERAGING = {
    "MammoCNN": "MammoCNN",
    "convnext_atto": "ConvNeXt",
    "efficientformerv2_s0": "EfficientFormerV2",
    "test_vit": "VisionTransformer",
}


@pytest.mark.parametrize(("architecture", "name"), AVERAGING.items())
def test_network_that_cannot_pool_by_the_maximum_is_refused_by_name(architecture, name):
    with pytest.raises(SettingsError, match=f"{name} cannot pool") as refusal:
        build_model(ModelSettings(architecture=architecture, max_pooling=True), (64, 64))
    assert refusal.value.fields == ("architecture", "max_pooling")
