"""Classification of breasts by both of their views. A sample is an image with the other view of its breast, so each
breast is seen once from each of its images, and predictions have a row for each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tfm.models.two_views import classify_together
from tfm.training import augment
from tfm.training.batches import OTHER_VIEW, Batch
from tfm.training.tasks.classification import Classification


@dataclass(frozen=True)
class TwoViewClassification(Classification):
    needs = frozenset({"labels", OTHER_VIEW})
    draws = augment.COLUMNS  # the other view is augmented too

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:  # logits (B, 1)
        return classify_together(network, batch.images, batch.targets[OTHER_VIEW])
