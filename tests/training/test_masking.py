"""Blocks are hidden in the breast only, the wanted share of them, and always the same ones for the same address."""

import numpy as np
import pytest
import torch

from tfm.core.randomness import generator_at
from tfm.training.block_masking import count_blocks, find_eligible_blocks, mask_blocks
from tfm.training.settings import MaskSettings

SETTINGS = MaskSettings(block=8)
HEIGHT, WIDTH = 44, 36  # the last blocks are cut to a half


def ellipses(count):
    """Breasts of several sizes, each at the left rim."""
    down, right = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    inside = [((down - 22) / (12 + 2 * size)) ** 2 + (right / (16 + 3 * size)) ** 2 < 1 for size in range(count)]
    return torch.stack(inside)[:, None].to(torch.uint8)


def drawn(count, epoch=3, seed=7):
    return generator_at(seed, "hidden", epoch).random(
        (count, count_blocks((HEIGHT, WIDTH), SETTINGS)), dtype=np.float32
    )


def plainly(breast, numbers, settings):
    """One image, block by block."""
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    found = []
    for number, (down, right) in enumerate(
        (down, right) for down in range(0, HEIGHT, settings.block) for right in range(0, WIDTH, settings.block)
    ):
        window = breast[down : down + settings.block, right : right + settings.block]
        if window.mean() > settings.threshold:
            found.append((numbers[number], down, right))
    wanted = max(int(len(found) * settings.share + 0.5), 1)
    for _, down, right in sorted(found)[:wanted]:
        hidden[down : down + settings.block, right : right + settings.block] = True
    return hidden


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_the_lowest_numbers_among_blocks_of_breast_are_hidden(share, threshold):
    settings = SETTINGS.model_copy(update={"share": share, "threshold": threshold})
    breasts, numbers = ellipses(5), drawn(5)
    hidden = mask_blocks(breasts, numbers, settings)
    for image in range(5):
        wanted = plainly(breasts[image, 0].numpy(), numbers[image], settings)
        assert wanted.any()
        assert np.array_equal(hidden[image, 0].numpy(), wanted)


def test_an_images_blocks_are_its_own_in_any_batch_and_others_in_another_epoch():
    breasts, numbers = ellipses(5), drawn(5)
    together = mask_blocks(breasts, numbers, SETTINGS)
    for image in range(5):
        assert torch.equal(
            mask_blocks(breasts[image : image + 1], numbers[image : image + 1], SETTINGS)[0], together[image]
        )
    turned = np.array([3, 0, 4, 2, 1])
    assert torch.equal(mask_blocks(breasts[turned], numbers[turned], SETTINGS), together[turned])
    assert not torch.equal(mask_blocks(breasts, drawn(5, epoch=4), SETTINGS), together)
    assert torch.equal(mask_blocks(breasts, drawn(5), SETTINGS), together)


def test_no_block_is_hidden_where_there_is_no_breast():
    breasts = ellipses(2)
    breasts[1] = 0
    breasts[1, 0, :4, :4] = 1  # a quarter of a block
    assert find_eligible_blocks(breasts, SETTINGS).flatten(1).any(1).tolist() == [True, False]
    assert mask_blocks(breasts, drawn(2), SETTINGS).flatten(1).any(1).tolist() == [True, False]


def test_a_single_block_is_hidden_however_small_the_share():
    breast = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    breast[..., 8:16, 8:16] = 1
    hidden = mask_blocks(breast, drawn(1), SETTINGS.model_copy(update={"share": 0.01}))
    assert torch.equal(hidden, breast > 0)
