"""Only blocks of the breast are masked: the requested share, the same ones for the same random numbers."""

import numpy as np
import pytest
import torch

from tfm.core.randomness import generator_at
from tfm.training.block_masking import count_blocks, find_eligible_blocks, mask_blocks
from tfm.training.settings import MaskSettings

SETTINGS = MaskSettings(block=8)
HEIGHT, WIDTH = 44, 36  # the last blocks are cut to a half


def make_breasts(count):
    """Make breasts of several sizes at the left edge."""
    down, right = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    inside = [((down - 22) / (12 + 2 * size)) ** 2 + (right / (16 + 3 * size)) ** 2 < 1 for size in range(count)]
    return torch.stack(inside)[:, None].to(torch.uint8)


def draw(count, epoch=3, seed=7):
    return generator_at(seed, "hidden", epoch).random(
        (count, count_blocks((HEIGHT, WIDTH), SETTINGS)), dtype=np.float32
    )


def mask_slowly(breast, numbers, settings):
    """Mask one image block by block."""
    masked = np.zeros((HEIGHT, WIDTH), bool)
    eligible = []
    for number, (down, right) in enumerate(
        (down, right) for down in range(0, HEIGHT, settings.block) for right in range(0, WIDTH, settings.block)
    ):
        window = breast[down : down + settings.block, right : right + settings.block]
        if window.mean() > settings.threshold:
            eligible.append((numbers[number], down, right))
    wanted = max(int(len(eligible) * settings.share + 0.5), 1)
    for _, down, right in sorted(eligible)[:wanted]:
        masked[down : down + settings.block, right : right + settings.block] = True
    return masked


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_eligible_blocks_with_the_lowest_numbers_are_masked(share, threshold):
    settings = SETTINGS.model_copy(update={"share": share, "threshold": threshold})
    breasts, numbers = make_breasts(5), draw(5)
    masked = mask_blocks(breasts, numbers, settings)
    for image in range(5):
        wanted = mask_slowly(breasts[image, 0].numpy(), numbers[image], settings)
        assert wanted.any()
        assert np.array_equal(masked[image, 0].numpy(), wanted)


def test_masked_blocks_do_not_depend_on_the_batch_and_change_each_epoch():
    breasts, numbers = make_breasts(5), draw(5)
    together = mask_blocks(breasts, numbers, SETTINGS)
    for image in range(5):
        assert torch.equal(
            mask_blocks(breasts[image : image + 1], numbers[image : image + 1], SETTINGS)[0], together[image]
        )
    turned = np.array([3, 0, 4, 2, 1])
    assert torch.equal(mask_blocks(breasts[turned], numbers[turned], SETTINGS), together[turned])
    assert not torch.equal(mask_blocks(breasts, draw(5, epoch=4), SETTINGS), together)
    assert torch.equal(mask_blocks(breasts, draw(5), SETTINGS), together)


def test_no_block_is_masked_without_breast():
    breasts = make_breasts(2)
    breasts[1] = 0
    breasts[1, 0, :4, :4] = 1  # a quarter of a block
    assert find_eligible_blocks(breasts, SETTINGS).flatten(1).any(1).tolist() == [True, False]
    assert mask_blocks(breasts, draw(2), SETTINGS).flatten(1).any(1).tolist() == [True, False]


def test_at_least_one_block_is_masked():
    breast = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    breast[..., 8:16, 8:16] = 1
    masked = mask_blocks(breast, draw(1), SETTINGS.model_copy(update={"share": 0.01}))
    assert torch.equal(masked, breast > 0)
