"""A trained network, the images to explain it on, and the maps of each explanation method.
The methods are in `attention_map` and `grad_cam`; the scores of the maps are in `scores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.analysis.explanation.attention_map import compute_attention_map
from tfm.analysis.explanation.grad_cam import BENIGN, MALIGNANT, compute_grad_cam
from tfm.analysis.explanation.lesion_map import compute_lesion_map
from tfm.analysis.explanation.occlusion import compute_occlusion_map, count_passes
from tfm.models.freezing import freeze
from tfm.models.lesion_guided import LesionGuidedClassifier, get_encoder
from tfm.models.model_summary import ModelCard
from tfm.models.record_attention import has_attention
from tfm.training.batches import Batch, Images
from tfm.training.device_errors import explain_device_errors
from tfm.training.tasks import Task

LESIONS = "malignant lesions"
ATTENTION = "attention"
FOR_BENIGN, FOR_MALIGNANT = "Grad-CAM for benign", "Grad-CAM for malignant"


@dataclass(frozen=True)
class Explainer:
    network: nn.Module
    task: Task  # the first column of its answers is the logit
    images: Images
    card: ModelCard

    @classmethod
    def of(cls, network: nn.Module, task: Task, images: Images, card: ModelCard) -> Explainer:
        """Freeze the network and move it to the device of the images."""
        freeze(network, "none")
        return cls(network.to(images.device).eval(), task, images, card)

    @property
    def methods(self) -> list[str]:
        own = [LESIONS] if isinstance(self.network, LesionGuidedClassifier) else []
        if self.images.cache.images.shape[1:] != self.card.in_size:
            return own  # the others explain a single pass of the encoder, and there is one for each tile
        return [*own, *([ATTENTION] if has_attention(self.network) else []), FOR_BENIGN, FOR_MALIGNANT]

    def compute_maps(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Map each method to its maps (B, H, W), float32 and at least zero."""
        maps: dict[str, torch.Tensor] = {}
        with explain_device_errors(self.images.device, len(chosen)):
            images = self.images.load(chosen)
            if isinstance(self.network, LesionGuidedClassifier):
                maps[LESIONS] = compute_lesion_map(self.network, images)
            if ATTENTION in self.methods:
                maps[ATTENTION] = compute_attention_map(get_encoder(self.network), images)
            if FOR_MALIGNANT in self.methods:
                maps |= self._compute_cams(chosen, images)
            return {method: maps[method].cpu().numpy() for method in self.methods}

    def compute_occlusion(self, place: int) -> np.ndarray:
        """Compute the evidence for malignant in one image (H, W); evidence for benign is below zero."""
        images = self.images.load(np.array([place]))

        def compute_logits(covered: torch.Tensor) -> torch.Tensor:
            return self._compute_logits(np.full(len(covered), place), covered)

        with explain_device_errors(self.images.device, 1):
            return compute_occlusion_map(compute_logits, images, self._load_breast(place))

    def count_occlusion_passes(self, places: Sequence[int]) -> int:
        return sum(count_passes(self._load_breast(place)) for place in places)

    def _load_breast(self, place: int) -> torch.Tensor:  # (H, W) bool
        return self.images.load_targets(np.array([place]), ["breast"])["breast"][0, 0] > 0

    def _compute_logits(self, chosen: np.ndarray, images: torch.Tensor) -> torch.Tensor:  # (B, 1)
        truth = self.images.load_targets(chosen, self.task.needs)
        return self.task.predict(self.network, Batch(images, truth))[:, :1]

    def _compute_cams(self, chosen: np.ndarray, images: torch.Tensor) -> dict[str, torch.Tensor]:
        layer, layout = self.card.explanation_layer, self.card.layout
        cams = compute_grad_cam(
            self.network, lambda images: self._compute_logits(chosen, images), images, layer, layout
        )
        return {FOR_BENIGN: cams[:, BENIGN], FOR_MALIGNANT: cams[:, MALIGNANT]}
