"""Networks that respond to bright patches, and images with one bright patch."""

import timm
import torch
from torch import nn

from tfm.models.record_attention import find_blocks

PATCH, WINDOW = 4, 4
WHOLE, PADDED = (8, 12), (10, 13)  # grids of places: with whole windows of 4×4, and with padded ones
CASES = [(grid, shifted) for grid in (WHOLE, PADDED) for shifted in (False, True)]


def make_swin(grid, *, shifted):
    """Make a Swin whose single stage ends with a block of the wanted kind and whose blocks attend to bright patches.

    Keys are the brightness, queries are constant, and the classifier's logit is the brightness too.
    """
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
        block.attn.qkv.weight.data[8, 0] = 10  # the first number of a key is the brightness
        block.attn.qkv.bias.data[0] = 1  # the first number of a query is constant
        for part in (block.attn.proj, block.mlp.fc2):
            part.weight.data.zero_()
            part.bias.data.zero_()
    network.head.fc.weight.data.copy_(brightness[None])
    assert any(find_blocks(network)[-1].shift_size) is shifted
    return network


def list_places(grid):
    return [(down, right) for down in range(grid[0]) for right in range(grid[1])]


def plant(grid):
    """Make an image for each place of the grid, bright there and dark elsewhere."""
    images = torch.zeros(len(list_places(grid)), 1, *(side * PATCH for side in grid))
    for image, (down, right) in zip(images, list_places(grid), strict=True):
        image[0, down * PATCH : (down + 1) * PATCH, right * PATCH : (right + 1) * PATCH] = 1
    return images


def find_peak(heat):
    """Find the place with the highest value of a map over the image."""
    down, right = divmod(int(heat.argmax()), heat.shape[-1])
    return down // PATCH, right // PATCH
