"""A trained network and the images it is explained on: a map of where it looks for each way to ask it.

How a map is made stands in attention and gradcam; what maps are worth, in looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.analysis.explanation.attention_map import compute_attention_map
from tfm.analysis.explanation.grad_cam import BENIGN, MALIGNANT, compute_grad_cam
from tfm.models.attention import has_attention
from tfm.models.freezing import freeze
from tfm.models.model_card import ModelCard
from tfm.training.batches import Batch, Images
from tfm.training.device_errors import limits_told
from tfm.training.tasks import Task

ATTENTION = "attention"
FOR_BENIGN, FOR_MALIGNANT = "Grad-CAM for benign", "Grad-CAM for malignant"


@dataclass(frozen=True)
class Explainer:
    network: nn.Module
    task: Task  # whose answers begin with the logit
    images: Images
    card: ModelCard

    @classmethod
    def of(cls, network: nn.Module, task: Task, images: Images, card: ModelCard) -> Explainer:
        """`network` at its best: from now on nothing of it is trained."""
        freeze(network, "none")
        return cls(network.to(images.device).eval(), task, images, card)

    @property
    def ways(self) -> list[str]:
        return [*([ATTENTION] if has_attention(self.network) else []), FOR_BENIGN, FOR_MALIGNANT]

    def maps(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """The ways, each (B, H, W) float32, at least zero."""
        with limits_told(self.images.device, len(chosen)):
            images, truth = self.images.batch(chosen), self.images.truth(chosen, self.task.needs)

            def ask(images: torch.Tensor) -> torch.Tensor:
                return self.task.answers(self.network, Batch(images, truth))[:, :1]

            cams = compute_grad_cam(self.network, ask, images, self.card.explanation_layer, self.card.layout)
            found = {FOR_BENIGN: cams[:, BENIGN], FOR_MALIGNANT: cams[:, MALIGNANT]}
            if has_attention(self.network):
                found[ATTENTION] = compute_attention_map(self.network, images)
            return {way: found[way].cpu().numpy() for way in self.ways}
