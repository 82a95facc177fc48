"""Reconstruction of masked blocks: the error of each image, and the gain over a guess.

The network lives in models, which blocks are masked in block_masking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from tfm.models.attention_spectral_loss import SpectralNorms
from tfm.training.batches import Batch
from tfm.training.block_masking import count_blocks, mask_blocks
from tfm.training.settings import MaskSettings
from tfm.training.tasks import Task

_EPSILON = 1e-8  # against a division by zero in an image without a breast


@dataclass(frozen=True)
class Reconstruction(Task):
    masks: MaskSettings
    loss_on: Literal["breast", "masked"]
    beta: float
    norms: SpectralNorms | None  # where beta is not zero
    in_size: tuple[int, int]
    needs = frozenset({"breast"})
    columns = ["train_gain", "val_loss", "val_gain"]  # noqa: RUF012
    best = "val_gain"

    @property
    def draws(self) -> int:
        return count_blocks(self.in_size, self.masks)

    def start_step(self, network: nn.Module) -> None:
        if self.norms:
            self.norms.advance(network)

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.predict(network, batch)
        loss = outputs[:, 0].sum()
        if self.norms:
            loss = loss + self.beta * self.norms(network) * len(outputs)
        return loss, outputs

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 3): L_MIM; and over the masked pixels the sums of |rebuilt − image| and of |image|.

        The last one is the error of predicting the normalisation's mean grey value everywhere.
        """
        masked, rebuilt = self.reconstruct(network, batch)
        breast = batch.targets["breast"] > 0
        off = (rebuilt.float() - batch.images).abs()
        error = compute_breast_error(off, breast & masked if self.loss_on == "masked" else breast)
        # An image in which nothing could be masked does not count.
        sums = [((one * (breast & masked)).sum((1, 2, 3))) for one in (off, batch.images.abs())]
        return torch.stack([error * masked.flatten(1).any(1), *sums], dim=1)

    def reconstruct(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Which pixels of each image are masked (B, 1, H, W) bool, and the network's reconstruction (B, 1, H, W)."""
        masked = mask_blocks(batch.targets["breast"], batch.draws, self.masks)
        return masked, network(batch.images, masked)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {"train_gain": compute_gain(outputs)}

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {"val_loss": float(outputs[:, 0].double().mean()), "val_gain": compute_gain(outputs)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.norms.vectors if self.norms else {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        if self.norms:
            self.norms.restore(state)
        else:
            super().load_state_dict(state)


def compute_breast_error(off: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """L_MIM: |rebuilt − image| and which pixels count, (B, 1, H, W) each → (B,): each image's mean over its pixels."""
    return (off * counted).sum((1, 2, 3)) / (counted.sum((1, 2, 3)) + _EPSILON)


def compute_gain(outputs: torch.Tensor) -> float:
    """Compare the error on masked pixels with that of one mean grey value: 0 is no better, 1 is perfect."""
    _, off, guessed = outputs.double().sum(0)
    return float(1 - off / guessed)
