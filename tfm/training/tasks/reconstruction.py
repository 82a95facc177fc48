"""Rebuilding what is hidden of a breast: how far off each image is, and how much of it was more than a guess.

The network stands in models.rebuild; which blocks are hidden, in masking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from tfm.models.spectral_loss import SpectralNorms
from tfm.training.batches import Batch
from tfm.training.block_masking import blocks_of, masked
from tfm.training.settings import MaskSettings

_NOTHING = 1e-8  # keeps an image without a breast from a division by zero


@dataclass(frozen=True)
class Reconstruct:
    masks: MaskSettings
    loss_on: Literal["breast", "masked"]
    beta: float
    norms: SpectralNorms | None  # where beta is not zero
    in_size: tuple[int, int]
    needs = frozenset({"breast"})
    columns = ["train_gain", "val_loss", "val_gain"]  # noqa: RUF012
    best = "val_gain"

    @property
    def chances(self) -> int:
        return blocks_of(self.in_size, self.masks)

    def advance(self, network: nn.Module) -> None:
        if self.norms:
            self.norms.advance(network)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        answers = self.answers(network, batch)
        loss = answers[:, 0].sum()
        if self.norms:
            loss = loss + self.beta * self.norms(network) * len(answers)
        return loss, answers

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 3): L_MIM of each image; and over what was hidden the sums of |rebuilt − image| and of |image|, which
        is how far off the mean grey of the breast would be."""
        hidden, rebuilt = self.rebuilt(network, batch)
        breast = batch.truth["breast"] > 0
        off = (rebuilt.float() - batch.images).abs()
        error = breast_error(off, breast & hidden if self.loss_on == "masked" else breast)
        lost = (off, batch.images.abs())
        # Where nothing could be hidden there is nothing to learn.
        sums = [error * hidden.flatten(1).any(1), *((one * (breast & hidden)).sum((1, 2, 3)) for one in lost)]
        return torch.stack(sums, dim=1)

    def rebuilt(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 1, H, W) bool, what is hidden of each image; and (B, 1, H, W), what the network makes of the rest."""
        hidden = masked(batch.truth["breast"], batch.chances, self.masks)
        return hidden, network(batch.images, hidden)

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {"train_gain": gain(answers)}

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {"val_loss": float(answers[:, 0].double().mean()), "val_gain": gain(answers)}

    def state(self) -> dict[str, torch.Tensor]:
        return self.norms.vectors if self.norms else {}

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        if self.norms:
            self.norms.restore(state)
        elif state:
            raise ValueError("it knows of more than a network learns from")


def breast_error(off: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """L_MIM, (B, 1, H, W) |rebuilt − image| and which pixels count → (B,): each image's mean over its own pixels."""
    return (off * counted).sum((1, 2, 3)) / (counted.sum((1, 2, 3)) + _NOTHING)


def gain(answers: torch.Tensor) -> float:
    """Of the error that the mean grey of the breast would make, the share that the network saves: 0 where it knows no
    better, 1 where it rebuilds what it never saw."""
    _, off, guessed = answers.double().sum(0)
    return float(1 - off / guessed)
