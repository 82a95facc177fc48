"""Classification that also learns from lesion masks: beside the loss of the image, that of its places.

The network lives in models, the classes of places in lesion_places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.models.lesion_guided import LesionGuidedClassifier
from tfm.training import tiles
from tfm.training.batches import Batch
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.lesion_places import compute_mask_losses, is_malignant
from tfm.training.settings import LesionSettings
from tfm.training.tasks import Task
from tfm.training.tasks.classification import Classification


@dataclass(frozen=True)
class LesionGuidedClassification(Task):
    plain: Classification
    settings: LesionSettings
    needs = frozenset({"labels", "lesions"})
    best = "val_auc"

    @property
    def columns(self) -> list[str]:
        return [*self.plain.columns, "val_mask_loss"]

    @property
    def draws(self) -> int:
        return tiles.DRAWS if self.settings.tile else 0

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The outputs are those of `predict`, and the label, which a tile may have of its own."""
        if self.settings.tile:
            batch = self._cut_tiles(batch)
        outputs, labels = self.predict(network, batch), batch.targets["labels"]
        loss = self.plain.compute_cross_entropy(outputs, labels) + self.settings.mask_weight * outputs[:, 1].sum()
        return loss, torch.cat([outputs, labels[:, None]], dim=1)

    def _cut_tiles(self, batch: Batch) -> Batch:
        """Cut one tile of each image. A tile is malignant if it shows a malignant lesion; its label is unknown if the
        image is malignant and shows none."""
        assert self.settings.tile
        labels, lesions = (batch.targets[name] for name in ("labels", "lesions"))
        images, shown = tiles.cut_tiles(
            batch.images, lesions, batch.draws, self.settings.tile, self.settings.lesion_tiles
        )
        in_tile, in_image = (is_malignant(masks).flatten(1).any(1) for masks in (shown, lesions))
        of_malignant = torch.where(in_image, in_tile.float(), torch.full_like(labels, UNKNOWN))
        return Batch(images, {"labels": torch.where(labels == 1, of_malignant, labels), "lesions": shown})

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 3): logit; loss of the places; 1 where the mask is used, else 0.

        It is used where it shows a lesion and the label is known: it would give away the label.
        """
        assert isinstance(network, LesionGuidedClassifier)
        logits, places = network.locate(batch.images)
        losses, shown = compute_mask_losses(places.float(), batch.targets["lesions"])
        used = shown & (batch.targets["labels"] != UNKNOWN)
        return torch.stack([logits[:, 0].float(), losses * used, used.float()], dim=1)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.plain.compute_train_metrics(outputs, outputs[:, -1].numpy())

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        _, losses, used = outputs.double().sum(0).tolist()
        return self.plain.compute_val_metrics(outputs, labels) | {"val_mask_loss": losses / max(used, 1)}
