"""Benign or malignant: from logits and labels to a loss. What a network learns from, and nothing about how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class Classify:
    label_smoothing: float
    malignant_weight: float

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # (B, 1), (B,) → one number
        targets = labels * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        weight = torch.tensor(self.malignant_weight, device=logits.device)
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets, pos_weight=weight)


def balance(labels: np.ndarray) -> float:
    """The weight of a malignant image that makes both classes weigh the same."""
    return float((labels == 0).sum() / (labels == 1).sum())
