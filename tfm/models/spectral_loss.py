"""How strongly attention can tell places apart, as a loss: the largest singular values of its layers and of its maps.

Every σ² here is ‖W v‖² with v, the leading right vector, held fast: its gradient is 2σuvᵀ, that of a full SVD.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from tfm.core.randomness import seed_at
from tfm.models.attention import find_attentions, get_query_key

_VECTORS = 8  # σ₂/σ₁ is about 0.99 in such layers: a single vector would stay some percent off
_ITERATIONS = 6  # for a map, which is another one in each image and has nothing to start from


class SpectralNorms:
    """Σ σ_max(W_Q)² + σ_max(W_K)² over the blocks of a network, by block power iteration from where the last step came
    to. The network is told each time, so that the vectors are all that is kept: they hang on its weights alone, and are
    the same in every process that has these."""

    def __init__(self, network: nn.Module) -> None:
        self.vectors = {shape: _first(shape, group) for shape, group in _groups(network).items()}  # (L, 2, C in, 8)

    @torch.no_grad()
    def advance(self, network: nn.Module) -> None:
        """One step of the iteration."""
        for shape, weights in _stacked(network):
            with torch.autocast(weights.device.type, enabled=False):
                self.vectors[shape] = _advanced(weights, self.vectors[shape].to(weights.device))

    def __call__(self, network: nn.Module) -> torch.Tensor:
        return torch.cat(self.squares(network)).sum()

    def squares(self, network: nn.Module) -> list[torch.Tensor]:
        """σ² of every matrix, those of one size together."""
        found = []
        for shape, weights in _stacked(network):
            with torch.autocast(weights.device.type, enabled=False):
                leading = self.vectors[shape][..., :1].to(weights.device)
                found.append((weights @ leading).square().sum((-2, -1)).flatten())
        return found

    def take_up(self, vectors: dict[str, torch.Tensor]) -> None:
        if {shape: kept.shape for shape, kept in vectors.items()} != {
            shape: own.shape for shape, own in self.vectors.items()
        }:
            raise ValueError("the vectors are those of another network")
        self.vectors = dict(vectors)


def _groups(network: nn.Module) -> dict[str, list[nn.Module]]:
    """The attentions whose matrices are of one size."""
    groups: dict[str, list[nn.Module]] = {}
    for attention in find_attentions(network):
        shape = "×".join(map(str, get_query_key(attention).shape[1:]))
        groups.setdefault(shape, []).append(attention)
    return groups


def _stacked(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:  # (L, 2, C, C in) each
    for shape, group in _groups(network).items():
        yield shape, torch.stack([get_query_key(attention) for attention in group])


def _first(shape: str, group: list[nn.Module]) -> torch.Tensor:
    one = get_query_key(group[0])
    generator = torch.Generator().manual_seed(seed_at("spectral", shape) % 2**63)
    return torch.randn(len(group), 2, one.shape[-1], _VECTORS, generator=generator, dtype=one.dtype)


def _advanced(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """One step; the vectors come back orthonormal, the leading one first. Without that rotation among themselves the
    first would be no nearer than a single one."""
    span, _ = torch.linalg.qr(weights.mT @ (weights @ vectors))
    images = weights @ span
    _, rotation = torch.linalg.eigh(images.mT @ images)
    turned: torch.Tensor = span @ rotation.flip(-1)
    return turned


def compute_excess(maps: list[torch.Tensor], windows: list[tuple[int, int]], images: int) -> torch.Tensor:  # (images,)
    """Σ_l (σ_max(A_l)² − 1), of each image the mean over its windows and heads. Rows of attention sum to one, so it is
    never below zero: 0 where attention is even or where each place looks at itself, the number of a window's places
    less one where all look at the same."""
    total = torch.zeros(images, device=maps[0].device)
    for attention, window in zip(maps, windows, strict=True):  # (images × windows, heads, n, n); height, width
        with torch.autocast(attention.device.type, enabled=False):
            exact = attention.to(torch.promote_types(attention.dtype, torch.float32))  # halves would hide the excess
            total = total + (_largest_square(exact, window) - 1).reshape(images, -1).mean(1)
    return total


def _largest_square(maps: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:  # (…, n, n) → (…)
    images: torch.Tensor = maps @ _leading(maps.detach(), _corners(window).to(maps))
    return images.square().sum((-2, -1))


def _corners(window: tuple[int, int]) -> torch.Tensor:  # (n, 4)
    """Each even over one of the parts that a shifted window at the rim is made of, which do not look at each other.
    Their largest values lie close together: from one start for all, a mixture of them would come out, some percent low.
    """
    down, right = ((torch.arange(side) >= side - side // 2).float() for side in window)
    parts = [torch.outer(one, other).flatten() for one in (1 - down, down) for other in (1 - right, right)]
    return torch.stack(parts, dim=1)


@torch.no_grad()
def _leading(maps: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:  # (…, n, n), (n, k) → (…, n, 1), of length one
    """Of what each start comes to, the one that a map makes longest."""
    vectors = starts.expand(*maps.shape[:-2], -1, -1)
    for _ in range(_ITERATIONS):
        vectors = torch.nn.functional.normalize(maps.mT @ (maps @ vectors), dim=-2)
    longest = (maps @ vectors).square().sum(-2).argmax(-1)
    return vectors.gather(-1, longest[..., None, None].expand(*vectors.shape[:-1], 1))
