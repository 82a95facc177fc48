"""Attention maps find a planted patch at its place: in shifted and unshifted blocks, with whole and padded windows."""

import pytest
import timm
import torch

from tests.analysis.explanation.planted import (
    CASES,
    PADDED,
    PATCH,
    WHOLE,
    WINDOW,
    find_peak,
    list_places,
    make_swin,
    plant,
)
from tfm.analysis.explanation.attention_map import compute_attention_map, merge_windows, resize_to_images
from tfm.models.record_attention import find_blocks, record_attention


@pytest.mark.parametrize(("grid", "shifted"), CASES)
def test_attention_finds_a_patch_at_every_place(grid, shifted):
    images = plant(grid)
    heat = compute_attention_map(make_swin(grid, shifted=shifted), images)
    assert heat.shape == (len(images), *images.shape[-2:])
    assert [find_peak(one) for one in heat] == list_places(grid)


def test_attention_from_padding_to_padding_is_ignored():
    """In a dark image, padding has higher keys than the image and receives all of the attention."""
    network = make_swin(PADDED, shifted=True)
    heat = compute_attention_map(network, torch.full((1, 1, *(side * PATCH for side in PADDED)), -2.0))
    assert torch.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat[..., : WINDOW * PATCH, : WINDOW * PATCH].mean() == pytest.approx(1, abs=0.2), "uniform far from padding"


@pytest.mark.parametrize("shift", [(0, 0), (2, 2)])
@pytest.mark.parametrize("grid", [WHOLE, PADDED])
def test_uniform_attention_is_one_everywhere_and_windows_keep_their_places(grid, shift):
    down, right = (-(-side // WINDOW) for side in grid)
    window = (WINDOW, WINDOW)
    uniform = torch.full((2 * down * right, 3, WINDOW**2, WINDOW**2), 1 / WINDOW**2)
    assert torch.allclose(merge_windows(uniform, grid, window, shift), torch.ones(2, *grid))
    torch.manual_seed(8)
    weights = (3 * torch.randn_like(uniform)).softmax(-1)
    heat = merge_windows(weights, grid, window, shift)
    assert heat.mean((1, 2)).tolist() == pytest.approx([1, 1], rel=1e-5), "no attention is lost"
    permuted = weights.view(2, down * right, 3, WINDOW**2, WINDOW**2).flip(1).flatten(0, 1)
    assert not torch.allclose(merge_windows(permuted, grid, window, shift), heat, atol=0.1)


def test_map_equals_a_plain_sum_of_the_last_blocks_weights():
    """At a size without padding, window by window and place by place."""
    torch.manual_seed(9)
    network = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=8, depths=(2,), num_heads=(2,), in_chans=1
    ).eval()
    images = torch.randn(1, 1, 32, 32)
    heat = compute_attention_map(network, images)
    with torch.no_grad(), record_attention([find_blocks(network)[-1].attn]) as recorded:
        network(images)
    shifted = torch.zeros(8, 8)
    for window, weights in enumerate(recorded[0].mean(1)):
        top, left = 4 * (window // 2), 4 * (window % 2)
        shifted[top : top + 4, left : left + 4] = weights.sum(0).view(4, 4)
    plain = torch.zeros(8, 8)
    for down in range(8):
        for right in range(8):
            plain[(down + 2) % 8, (right + 2) % 8] = shifted[down, right]
    assert torch.allclose(heat, resize_to_images(plain[None], images), atol=1e-5)
