"""Classification that also learns from lesion masks: beside the loss of the image, that of its places.

The network lives in models, the classes of places in lesion_places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.models.lesion_guided import LesionGuidedClassifier
from tfm.training.batches import Batch
from tfm.training.lesion_places import compute_mask_losses
from tfm.training.tasks import Task
from tfm.training.tasks.classification import Classification


@dataclass(frozen=True)
class LesionGuidedClassification(Task):
    plain: Classification
    mask_weight: float
    needs = frozenset({"labels", "lesions"})
    best = "val_auc"

    @property
    def columns(self) -> list[str]:
        return [*self.plain.columns, "val_mask_loss"]

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.predict(network, batch)
        loss = self.plain.compute_cross_entropy(outputs, batch.targets["labels"])
        return loss + self.mask_weight * outputs[:, 1].sum(), outputs

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 3): logit; loss of the places; 1 where the mask shows a lesion, else 0."""
        assert isinstance(network, LesionGuidedClassifier)
        logits, places = network.locate(batch.images)
        losses, shown = compute_mask_losses(places.float(), batch.targets["lesions"])
        return torch.stack([logits[:, 0].float(), losses, shown.float()], dim=1)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.plain.compute_train_metrics(outputs, labels)

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        _, losses, shown = outputs.double().sum(0).tolist()
        return self.plain.compute_val_metrics(outputs, labels) | {"val_mask_loss": losses / max(shown, 1)}
