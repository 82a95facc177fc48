"""The map that a lesion-guided classifier scores an image by: the probability of a malignant lesion at each place."""

from __future__ import annotations

import torch

from tfm.analysis.explanation.attention_map import resize_to_images
from tfm.models.lesion_guided import MALIGNANT, LesionGuidedClassifier


def compute_lesion_map(network: LesionGuidedClassifier, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) → (B, H, W)."""
    with torch.no_grad():
        _, places = network.locate(images)
    return resize_to_images(places.float().softmax(1)[:, MALIGNANT], images)
