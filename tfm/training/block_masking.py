"""Which blocks of the breast are masked in pretraining. Random numbers come in one table for each epoch.

What replaces a masked block lives in models, the loss in the task.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from tfm.core.errors import SettingsError
from tfm.data.cache.cache import Cache
from tfm.training.batches import split_evenly
from tfm.training.inputs.samples import Samples
from tfm.training.settings import MaskSettings

_BLOCK = 64  # breast masks read together: bounds the memory


def find_eligible_blocks(breast: torch.Tensor, settings: MaskSettings) -> torch.Tensor:
    """(B, 1, H, W) 0 or 1 → (B, h, w) bool: the blocks of which more than the threshold is breast.

    Blocks at the right and lower edge may be cut.
    """
    share = functional.avg_pool2d(breast.float(), settings.block, ceil_mode=True, count_include_pad=False)
    return share[:, 0] > settings.threshold


def mask_blocks(breast: torch.Tensor, draws: np.ndarray, settings: MaskSettings) -> torch.Tensor:
    """(B, 1, H, W) bool, True where masked: the eligible blocks with the lowest of `draws` (B, blocks) in [0, 1).

    An image's masked blocks do not depend on the other images of its batch.
    """
    blocks = find_eligible_blocks(breast, settings)
    eligible = blocks.flatten(1)
    numbers = torch.from_numpy(draws).to(breast.device)
    rank = numbers.masked_fill(~eligible, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    count = (eligible.sum(1) * settings.share + 0.5).floor().clamp(min=1)  # at least one, where one is eligible
    chosen = (eligible & (rank < count[:, None])).view_as(blocks)[:, None]
    pixels = chosen.repeat_interleave(settings.block, 2).repeat_interleave(settings.block, 3)
    return pixels[:, :, : breast.shape[2], : breast.shape[3]]


def check_block(cache: Cache, settings: MaskSettings) -> None:
    height, width = cache.images.shape[1:]
    if settings.block >= min(height, width):
        raise SettingsError(
            f"block: a block of {settings.block} pixels covers an image of {height} × {width} from edge to edge, and "
            "nothing is left to reconstruct it from",
            hint=f"choose 4 to {min(height, width) - 1} with this cache, preferably a multiple of the encoder's patch "
            "size",
            fields=("block",),
        )


def has_eligible_block(cache: Cache, samples: Samples, settings: MaskSettings) -> np.ndarray:  # (n,) bool
    results = []
    for positions in split_evenly(samples.positions, _BLOCK):
        breast = torch.from_numpy(cache.breast[positions])[:, None]
        results.append(find_eligible_blocks(breast, settings).flatten(1).any(1).numpy())
    return np.concatenate(results)


def count_blocks(size: tuple[int, int], settings: MaskSettings) -> int:
    return int(np.prod([-(-side // settings.block) for side in size]))
