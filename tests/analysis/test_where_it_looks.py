"""What is planted at a place of an image is found at that place, by attention and by Grad-CAM: in shifted blocks and in
unshifted ones, with windows that are padded and with whole ones."""

import pytest
import timm
import torch
from torch import nn

from tfm.analysis.explanation import attention_map as attention
from tfm.analysis.explanation.attention_map import compute_attention_map, merge_windows
from tfm.analysis.explanation.grad_cam import BENIGN, MALIGNANT, compute_grad_cam
from tfm.core.errors import SettingsError
from tfm.models.attention import find_blocks, record_attention
from tfm.models.model_card import find_explanation_layer

PATCH, WINDOW = 4, 4
WHOLE, PADDED = (8, 12), (10, 13)  # places, in windows of 4×4


def swin(grid, *, shifted):
    """Its one stage ends with a block of the wanted kind. Every block looks at bright patches: keys are the brightness,
    queries always the same; the classifier asks for brightness too."""
    torch.manual_seed(6)
    network = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=tuple(side * PATCH for side in grid),
        window_size=WINDOW,
        embed_dim=8,
        depths=(2 if shifted else 1,),
        num_heads=(1,),
        in_chans=1,
        num_classes=1,
    ).eval()
    brightness = torch.zeros(8)
    brightness[0] = 1
    network.patch_embed.proj.weight.data.copy_(brightness[:, None, None, None].expand(-1, 1, PATCH, PATCH) / PATCH**2)
    network.patch_embed.proj.bias.data.zero_()
    network.patch_embed.norm = nn.Identity()
    network.norm = nn.Identity()
    for block in find_blocks(network):
        block.norm1 = nn.Identity()
        for weight in (block.attn.qkv.weight, block.attn.qkv.bias, block.attn.relative_position_bias_table):
            weight.data.zero_()
        block.attn.qkv.weight.data[8, 0] = 10  # a key's first number, from brightness
        block.attn.qkv.bias.data[0] = 1  # a query's first number
        for part in (block.attn.proj, block.mlp.fc2):
            part.weight.data.zero_()
            part.bias.data.zero_()
    network.head.fc.weight.data.copy_(brightness[None])
    assert any(find_blocks(network)[-1].shift_size) is shifted
    return network


def planted(grid, down, right, brightness=1.0):
    image = torch.zeros(1, 1, *(side * PATCH for side in grid))
    image[..., down * PATCH : (down + 1) * PATCH, right * PATCH : (right + 1) * PATCH] = brightness
    return image


def peak(heat):
    """The place in which a map over the image is highest."""
    down, right = divmod(int(heat.argmax()), heat.shape[-1])
    return down // PATCH, right // PATCH


CASES = [(grid, shifted) for grid in (WHOLE, PADDED) for shifted in (False, True)]


def places(grid):
    return [(down, right) for down in range(grid[0]) for right in range(grid[1])]


@pytest.mark.parametrize(("grid", "shifted"), CASES)
def test_attention_finds_what_is_planted_at_every_place(grid, shifted):
    network = swin(grid, shifted=shifted)
    images = torch.cat([planted(grid, *place) for place in places(grid)])
    heat = compute_attention_map(network, images)
    assert heat.shape == (len(images), *images.shape[-2:])
    assert [peak(one) for one in heat] == places(grid)


@pytest.mark.parametrize(("grid", "shifted"), CASES)
def test_grad_cam_finds_what_is_planted_at_every_place_for_its_class(grid, shifted):
    network = swin(grid, shifted=shifted)
    images = torch.cat([planted(grid, *place) for place in places(grid)])
    heat = compute_grad_cam(network, network, images, find_explanation_layer(network), "NHWC")
    assert [peak(one) for one in heat[:, MALIGNANT]] == places(grid)
    assert heat[:, BENIGN].abs().sum() == 0
    dark = compute_grad_cam(network, network, -images, find_explanation_layer(network), "NHWC")
    assert [peak(one) for one in dark[:, BENIGN]] == places(grid)
    assert dark[:, MALIGNANT].abs().sum() == 0


def test_grad_cam_of_a_convolution_finds_what_is_planted_and_a_false_layout_does_not():
    network = nn.Sequential(nn.Conv2d(1, 3, PATCH, PATCH, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(3, 1))
    for tensor in network.parameters():
        tensor.data.abs_()
        tensor.requires_grad = False  # as after training without the encoder
    images = torch.cat([planted(WHOLE, *place) for place in places(WHOLE)])
    heat = compute_grad_cam(network, network, images, "0", "NCHW")
    assert [peak(one) for one in heat[:, MALIGNANT]] == places(WHOLE)
    scrambled = compute_grad_cam(network, network, images, "0", "NHWC")
    assert [peak(one) for one in scrambled[:, MALIGNANT]] != places(WHOLE)


def test_grad_cam_is_the_published_formula():
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", in_chans=1, num_classes=1).eval()
    images, layer = torch.randn(2, 1, 64, 64), find_explanation_layer(network)
    heat = compute_grad_cam(network, network, images, layer, "NCHW")
    features = network.forward_features(images).detach().requires_grad_()
    gradient = torch.autograd.grad(network.forward_head(features).sum(), features)[0]
    for image in (0, 1):
        plain = sum(gradient[image, c].mean() * features[image, c] for c in range(features.shape[1])).detach()
        plain = attention.resize_to_images(plain.clamp(min=0)[None], images)[0]
        assert torch.allclose(heat[image, MALIGNANT], plain, atol=1e-6)


def test_a_list_of_patches_has_no_grad_cam():
    with pytest.raises(SettingsError, match="NLC"):
        compute_grad_cam(nn.Identity(), nn.Identity(), torch.zeros(1, 1, 8, 8), "", "NLC")


def test_a_look_from_padding_that_sees_padding_alone_counts_for_nothing():
    """In a dark image a key is low, that of padding is not, and padding gets it all."""
    network = swin(PADDED, shifted=True)
    heat = compute_attention_map(network, torch.full((1, 1, *(side * PATCH for side in PADDED)), -2.0))
    assert torch.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat[..., : WINDOW * PATCH, : WINDOW * PATCH].mean() == pytest.approx(1, abs=0.2), "far from it all is even"


@pytest.mark.parametrize("shift", [(0, 0), (2, 2)])
@pytest.mark.parametrize("grid", [WHOLE, PADDED])
def test_an_even_look_is_one_everywhere_and_permuted_windows_change_any_other(grid, shift):
    down, right = (-(-side // WINDOW) for side in grid)
    window = (WINDOW, WINDOW)
    even = torch.full((2 * down * right, 3, WINDOW**2, WINDOW**2), 1 / WINDOW**2)
    assert torch.allclose(merge_windows(even, grid, window, shift), torch.ones(2, *grid))
    torch.manual_seed(8)
    weights = (3 * torch.randn_like(even)).softmax(-1)
    heat = merge_windows(weights, grid, window, shift)
    assert heat.mean((1, 2)).tolist() == pytest.approx([1, 1], rel=1e-5), "what is looked at is shared out, never lost"
    permuted = weights.view(2, down * right, 3, WINDOW**2, WINDOW**2).flip(1).flatten(0, 1)
    assert not torch.allclose(merge_windows(permuted, grid, window, shift), heat, atol=0.1)


def test_a_map_is_made_of_the_last_blocks_own_weights():
    """At a size without padding: column by column what the places of a window give to each of them."""
    torch.manual_seed(9)
    network = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=8, depths=(2,), num_heads=(2,), in_chans=1
    ).eval()
    images = torch.randn(1, 1, 32, 32)
    heat = compute_attention_map(network, images)
    with torch.no_grad(), record_attention([find_blocks(network)[-1].attn]) as seen:
        network(images)
    shifted = torch.zeros(8, 8)
    for window, weights in enumerate(seen[0].mean(1)):
        top, left = 4 * (window // 2), 4 * (window % 2)
        shifted[top : top + 4, left : left + 4] = weights.sum(0).view(4, 4)
    plain = torch.zeros(8, 8)
    for down in range(8):
        for right in range(8):
            plain[(down + 2) % 8, (right + 2) % 8] = shifted[down, right]
    assert torch.allclose(heat, attention.resize_to_images(plain[None], images), atol=1e-5)
