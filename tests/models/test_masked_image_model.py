"""Masked image models see only visible pixels and reconstruct images of their own size."""

import pytest
import torch
from torch.nn import functional

from tests.models.encoders import ENCODERS, SWIN, build_encoder
from tfm.core.errors import SettingsError
from tfm.models.build import build_model
from tfm.models.features import compute_feature_map
from tfm.models.masked_image_model import MaskedImageModel
from tfm.models.settings import ModelSettings


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("MammoCNN", (64, 64), "MammoCNN"),
        ("vit_tiny_patch16_224", (64, 64), "VisionTransformer"),
        ("inception_v3", (96, 96), "InceptionV3 covers only 32×32 of 96×96"),
        ("convnext_atto", (70, 64), "ConvNeXt covers only 64×64 of 70×64"),
    ],
)
def test_encoder_whose_map_does_not_cover_the_image_is_refused(name, size, words):
    encoder = build_model(ModelSettings(architecture=name), size)
    with pytest.raises(SettingsError, match=words) as refusal:
        MaskedImageModel(encoder, 8, "token").eval()(
            torch.zeros(1, 1, *size), torch.zeros(1, 1, *size, dtype=torch.bool)
        )
    assert refusal.value.fields == ("architecture",)


@pytest.mark.parametrize("fill", ["token", "zeros"])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_reconstructs_images_and_has_gradients_in_every_layer(name, fill):
    network = MaskedImageModel(build_encoder(name), 8, fill).train()
    images, hidden = torch.randn(2, 1, 64, 64), torch.rand(2, 1, 64, 64) > 0.5
    reconstructed = network(images, hidden)
    assert reconstructed.shape == images.shape
    reconstructed.square().sum().backward()
    dead = [part for part, tensor in network.named_parameters() if tensor.grad is None]
    assert [part for part in dead if not part.startswith("encoder.head.")] == []


def test_encoder_sees_only_visible_pixels():
    images, hidden = torch.randn(1, 1, 64, 44), torch.zeros(1, 1, 64, 44, dtype=torch.bool)
    hidden[..., 8:16, 16:40] = True
    for fill in ("token", "zeros"):
        network = MaskedImageModel(build_encoder("resnet18"), 8, fill)
        if network.token is not None:
            network.token.data.normal_()
        seen = network.hide_blocks(images, hidden)
        assert torch.equal(seen[~hidden], images[~hidden])
        block = torch.zeros(8, 8) if network.token is None else network.token[0, 0]
        for right in (16, 24, 32):
            assert torch.equal(seen[0, 0, 8:16, right : right + 8], block)
        other = torch.where(hidden, torch.randn_like(images), images)
        assert torch.equal(network(other, hidden), network(images, hidden))


def test_each_place_of_the_map_reconstructs_its_own_pixels():
    """With a decoder that copies the first feature to all pixels, the output is that feature's map enlarged."""
    network, images = MaskedImageModel(build_encoder(SWIN), 8, "zeros").eval(), torch.randn(1, 1, 64, 64)
    convolution = network.decoder[0]
    convolution.weight.data.zero_()
    convolution.bias.data.zero_()
    convolution.weight.data[:, 0] = 1
    features = compute_feature_map(network.encoder, images)[:, :1]
    reconstructed = network(images, torch.zeros(1, 1, 64, 64, dtype=torch.bool))
    assert torch.allclose(reconstructed, functional.interpolate(features, scale_factor=32, mode="nearest"), atol=1e-6)
