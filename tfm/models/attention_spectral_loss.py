"""Losses on the largest singular values of attention layers and attention maps.
Every σ² is ‖W v‖² with the leading right singular vector v held constant: its gradient is 2σuvᵀ, as of a full SVD."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from tfm.core.randomness import seed_at
from tfm.models.record_attention import find_attentions, get_query_key

_VECTORS = 8  # σ₂/σ₁ is about 0.99 in these layers: a single vector would stay some percent off
_ITERATIONS = 6  # for maps, which differ in each image: no warm start is possible


class SpectralNorms:
    """Σ σ_max(W_Q)² + σ_max(W_K)² over the blocks of a network, by block power iteration with warm starts.

    The vectors are the only state. They depend on the network's weights alone, so they are equal in every process.
    """

    def __init__(self, network: nn.Module) -> None:
        self.vectors: dict[str, torch.Tensor] = {}  # size of the matrices → (L, 2, C in, _VECTORS)
        for shape, layers in _find_layers_by_size(network).items():
            one = get_query_key(layers[0])
            generator = torch.Generator().manual_seed(seed_at("spectral", shape) % 2**63)
            size = (len(layers), 2, one.shape[-1], _VECTORS)
            self.vectors[shape] = torch.randn(size, generator=generator, dtype=one.dtype)

    @torch.no_grad()
    def advance(self, network: nn.Module) -> None:
        """Run one step of the iteration."""
        for shape, weights in _stack_weights(network):
            with torch.autocast(weights.device.type, enabled=False):
                self.vectors[shape] = _advance_vectors(weights, self.vectors[shape].to(weights.device))

    def __call__(self, network: nn.Module) -> torch.Tensor:
        return torch.cat(self.compute_squares(network)).sum()

    def compute_squares(self, network: nn.Module) -> list[torch.Tensor]:
        """Compute σ² of every matrix, grouped by size."""
        squares = []
        for shape, weights in _stack_weights(network):
            with torch.autocast(weights.device.type, enabled=False):
                leading = self.vectors[shape][..., :1].to(weights.device)
                squares.append((weights @ leading).square().sum((-2, -1)).flatten())
        return squares

    def restore(self, vectors: dict[str, torch.Tensor]) -> None:
        """Continue with the vectors of a checkpoint."""
        shapes, own_shapes = ({name: one.shape for name, one in each.items()} for each in (vectors, self.vectors))
        if shapes != own_shapes:
            raise ValueError("the vectors belong to another network")
        self.vectors = dict(vectors)


def _find_layers_by_size(network: nn.Module) -> dict[str, list[nn.Module]]:
    """Group the attention layers by the size of their matrices."""
    groups: dict[str, list[nn.Module]] = {}
    for attention in find_attentions(network):
        shape = "×".join(map(str, get_query_key(attention).shape[1:]))
        groups.setdefault(shape, []).append(attention)
    return groups


def _stack_weights(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:  # (L, 2, C, C in) each
    for shape, group in _find_layers_by_size(network).items():
        yield shape, torch.stack([get_query_key(attention) for attention in group])


def _advance_vectors(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Run one step; the returned vectors are orthonormal, the leading one first.

    Without this rotation, the first vector would converge no faster than a single one.
    """
    span, _ = torch.linalg.qr(weights.mT @ (weights @ vectors))
    images = weights @ span
    _, rotation = torch.linalg.eigh(images.mT @ images)
    rotated: torch.Tensor = span @ rotation.flip(-1)
    return rotated


def compute_excess(maps: list[torch.Tensor], windows: list[tuple[int, int]], images: int) -> torch.Tensor:  # (images,)
    """Σ_l (σ_max(A_l)² − 1), for each image the mean over its windows and heads.

    Rows of attention sum to one, so the value is at least 0: it is 0 for uniform attention and for places that attend
    only to themselves, and n − 1 if all n places of a window attend to the same one.
    """
    total = torch.zeros(images, device=maps[0].device)
    for attention, window in zip(maps, windows, strict=True):  # (images × windows, heads, n, n); height, width
        with torch.autocast(attention.device.type, enabled=False):
            # half precision would hide the excess
            exact = attention.to(torch.promote_types(attention.dtype, torch.float32))
            vectors = _find_leading_vectors(exact.detach(), _build_start_vectors(window).to(exact))
            squares = (exact @ vectors).square().sum((-2, -1))
            total = total + (squares - 1).reshape(images, -1).mean(1)
    return total


def _build_start_vectors(window: tuple[int, int]) -> torch.Tensor:  # (n, 4)
    """Return one start vector per part of a shifted window at the image's edge; the parts do not attend to each other.

    Their singular values are close: a single start would converge to a mixture, some percent too low.
    """
    down, right = ((torch.arange(side) >= side - side // 2).float() for side in window)
    parts = [torch.outer(one, other).flatten() for one in (1 - down, down) for other in (1 - right, right)]
    return torch.stack(parts, dim=1)


@torch.no_grad()
def _find_leading_vectors(maps: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Iterate from each start and return the unit vector that the map makes longest.

    (…, n, n), (n, k) → (…, n, 1)
    """
    vectors = starts.expand(*maps.shape[:-2], -1, -1)
    for _ in range(_ITERATIONS):
        vectors = torch.nn.functional.normalize(maps.mT @ (maps @ vectors), dim=-2)
    longest = (maps @ vectors).square().sum(-2).argmax(-1)
    return vectors.gather(-1, longest[..., None, None].expand(*vectors.shape[:-1], 1))
