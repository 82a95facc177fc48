"""swin_pico has the windows, attention and feature map of a timm Swin, and the documented size."""

import pytest
import torch

from tfm.core.errors import SettingsError
from tfm.models.attention_spectral_loss import SpectralNorms
from tfm.models.build import build_model
from tfm.models.features import classify_pooled, compute_feature_map
from tfm.models.model_summary import build_card
from tfm.models.record_attention import find_attentions, find_blocks
from tfm.models.settings import ModelSettings

PICO = ModelSettings(architecture="swin_pico")


def test_card_and_windows():
    card = build_card(PICO, (224, 224), 2)
    assert (card.parameters, card.explanation_layer, card.layout) == (570_909, "layers.2", "NHWC")
    network = build_model(PICO, (224, 224))
    assert [tuple(block.window_size) for block in find_blocks(network)] == [(7, 7)] * 6
    assert [any(block.shift_size) for block in find_blocks(network)] == [False, True, False, True, False, False]


@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_network_has_gradients_everywhere_and_a_feature_map(size):
    network = build_model(PICO, size).eval()  # training would drop whole paths at random
    images = torch.randn(2, 1, *size)
    features = compute_feature_map(network, images)
    assert features.shape == (2, 128, size[0] // 32, size[1] // 32)
    assert torch.allclose(classify_pooled(network, features.mean((2, 3))), network(images), atol=1e-5)
    (network(images).sum() + SpectralNorms(network)(network)).backward()
    assert len(find_attentions(network)) == 6
    assert all(tensor.grad is not None for tensor in network.parameters())


def test_unsuitable_size_is_refused_with_a_suitable_one():
    with pytest.raises(SettingsError, match="230×224") as refusal:
        build_model(PICO, (230, 224))
    assert "multiples of 32" in refusal.value.hint
