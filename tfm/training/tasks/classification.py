"""Benign or malignant: from logits and labels to a loss and to figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tfm.metrics.classification import compute_auc, compute_confusion
from tfm.training.batches import Batch
from tfm.training.inference import probabilities
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.settings import BatchSettings, OptimSettings


@dataclass(frozen=True)
class Classify:
    label_smoothing: float
    malignant_weight: float
    needs = frozenset({"labels"})
    chances = 0
    columns = ["train_accuracy", "train_auc", "val_loss", "val_accuracy", "val_auc"]  # noqa: RUF012
    best = "val_auc"

    def advance(self, network: nn.Module) -> None:
        pass

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.answers(network, batch)
        return self.cross_entropy(logits, batch.truth["labels"]), logits

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:  # logits (B, 1)
        logits: torch.Tensor = network(batch.images)
        return logits

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        known = labels != UNKNOWN
        probs = probabilities(answers)[known]
        return {"train_accuracy": accuracy(labels[known], probs), "train_auc": compute_auc(labels[known], probs)}

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        probs = probabilities(answers)
        return {
            "val_loss": self.mean_loss(answers, labels),
            "val_accuracy": accuracy(labels, probs),
            "val_auc": compute_auc(labels, probs),
        }

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        if state:
            raise ValueError("it knows of more than a network learns from")

    def mean_loss(self, answers: torch.Tensor, labels: np.ndarray) -> float:
        return self.cross_entropy(answers, torch.from_numpy(labels.astype(np.float32))).item() / len(labels)

    def cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # (B, 1), (B,) → their sum
        """Of those that have a label: an UNKNOWN one adds nothing."""
        known = labels != UNKNOWN
        targets = labels * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        weight = torch.tensor(self.malignant_weight, device=logits.device)
        return functional.binary_cross_entropy_with_logits(
            logits[:, 0].float(), targets * known, known.float(), pos_weight=weight, reduction="sum"
        )


def classify(optim: OptimSettings, batches: BatchSettings, labels: np.ndarray) -> Classify:
    """Of training images with these labels."""
    return Classify(optim.label_smoothing, balance(labels) if batches.balance == "weights" else 1.0)


def accuracy(labels: np.ndarray, probs: np.ndarray) -> float:
    """While a network is trained no threshold is chosen yet: at one half."""
    return compute_confusion(labels, probs, 0.5).accuracy


def balance(labels: np.ndarray) -> float:
    """The weight of a malignant image that makes both classes weigh the same."""
    return float((labels == 0).sum() / (labels == 1).sum())
