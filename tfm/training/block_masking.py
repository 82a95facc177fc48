"""Which blocks of the breast are hidden from a network that is to rebuild them: drawn by address, one table an epoch.

Choosing only: what is put in their place stands with the network, what is made of the outcome with the task.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from tfm.core.errors import SettingsError
from tfm.data.cache.cache import Cache
from tfm.training.batches import cut
from tfm.training.inputs.samples import Rows
from tfm.training.settings import MaskSettings

_AT_ONCE = 64  # images whose breasts are looked at together: bounds the memory


def eligible(breast: torch.Tensor, settings: MaskSettings) -> torch.Tensor:  # (B, 1, H, W) 0 or 1 → (B, h, w) bool
    """Blocks that are breast for more than a share of their own area: at the right and lower rim they may be cut."""
    block = settings.block
    share = functional.avg_pool2d(breast.float(), block, ceil_mode=True, count_include_pad=False)
    return share[:, 0] > settings.threshold


def masked(breast: torch.Tensor, drawn: np.ndarray, settings: MaskSettings) -> torch.Tensor:
    """(B, 1, H, W) bool, True where the network sees nothing. `drawn` (B, blocks) in [0, 1): the eligible blocks with
    the lowest numbers are taken, so that an image's blocks are its own, whatever it shares a batch with."""
    blocks = eligible(breast, settings)
    among = blocks.flatten(1)
    numbers = torch.from_numpy(drawn).to(breast.device)
    rank = numbers.masked_fill(~among, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    # At least one where there is one: an image that hides nothing teaches nothing.
    count = (among.sum(1) * settings.share + 0.5).floor().clamp(min=1)
    chosen = (among & (rank < count[:, None])).view_as(blocks)[:, None]
    whole = chosen.repeat_interleave(settings.block, 2).repeat_interleave(settings.block, 3)
    return whole[:, :, : breast.shape[2], : breast.shape[3]]


def check_block(cache: Cache, settings: MaskSettings) -> None:
    """As wide as an image, a block leaves nothing of it to rebuild it from."""
    height, width = cache.images.shape[1:]
    if settings.block >= min(height, width):
        raise SettingsError(
            f"block: {settings.block} pixels hide an image of {height} × {width} from edge to edge, and leave nothing "
            "to rebuild it from",
            hint=f"4 to {min(height, width) - 1} go with this cache, at best a multiple of the encoder's patches",
            fields=("block",),
        )


def with_blocks(cache: Cache, rows: Rows, settings: MaskSettings) -> np.ndarray:  # (n,) bool
    """Which of these images have an eligible block, as they are in the cache."""
    found = []
    for positions in cut(rows.positions, _AT_ONCE):
        breast = torch.from_numpy(cache.breast[positions])[:, None]
        found.append(eligible(breast, settings).flatten(1).any(1).numpy())
    return np.concatenate(found)


def blocks_of(size: tuple[int, int], settings: MaskSettings) -> int:
    """How many numbers an image of this height and width needs."""
    return int(np.prod([-(-side // settings.block) for side in size]))
