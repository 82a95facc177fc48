"""Classification as benign or malignant: loss and metrics from logits and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tfm.metrics.classification import compute_auc, compute_confusion
from tfm.training.batches import Batch
from tfm.training.inference import compute_probabilities
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.tasks import Task


@dataclass(frozen=True)
class Classification(Task):
    label_smoothing: float
    malignant_weight: float
    needs = frozenset({"labels"})
    columns = ["train_accuracy", "train_auc", "val_loss", "val_accuracy", "val_auc"]  # noqa: RUF012
    best = "val_auc"

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.predict(network, batch)
        return self.compute_cross_entropy(logits, batch.targets["labels"]), logits

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:  # logits (B, 1)
        logits: torch.Tensor = network(batch.images)
        return logits

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        known = labels != UNKNOWN
        probs = compute_probabilities(outputs)[known]
        return {
            "train_accuracy": compute_accuracy(labels[known], probs),
            "train_auc": compute_auc(labels[known], probs),
        }

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        probs = compute_probabilities(outputs)
        return {
            "val_loss": self.compute_mean_loss(outputs, labels),
            "val_accuracy": compute_accuracy(labels, probs),
            "val_auc": compute_auc(labels, probs),
        }

    def compute_mean_loss(self, logits: torch.Tensor, labels: np.ndarray) -> float:
        return self.compute_cross_entropy(logits, torch.from_numpy(labels.astype(np.float32))).item() / len(labels)

    def compute_cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # (B, 1), (B,) → sum
        """Sum over the images with a label: an UNKNOWN label adds nothing."""
        known = labels != UNKNOWN
        targets = labels * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        weight = torch.tensor(self.malignant_weight, device=logits.device)
        return functional.binary_cross_entropy_with_logits(
            logits[:, 0].float(), targets * known, known.float(), pos_weight=weight, reduction="sum"
        )


def compute_accuracy(labels: np.ndarray, probs: np.ndarray) -> float:
    """Accuracy at one half: the threshold is chosen after training."""
    return compute_confusion(labels, probs, 0.5).accuracy


def compute_malignant_weight(labels: np.ndarray) -> float:
    """The weight of a malignant image with which both classes weigh the same."""
    return float((labels == 0).sum() / (labels == 1).sum())
