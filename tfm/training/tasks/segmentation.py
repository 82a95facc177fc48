"""Segmentation of lesions: loss and Dice from logits and masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.data.dataset.lesion_classes import CLASS_SETS, ClassSet
from tfm.training import tiles
from tfm.training.batches import Batch
from tfm.training.lesion_probability_maps import (
    COUNTS_PER_MAP,
    count_at_thresholds,
    find_best_threshold,
    get_map_names,
    make_maps,
    make_truth_maps,
    map_mask_classes,
)
from tfm.training.settings import SegmentationSettings
from tfm.training.tasks import Task

_FOCAL_EXPONENT = 2.0


@dataclass(frozen=True)
class Segmentation(Task):
    classes: ClassSet
    weights: tuple[float, ...]  # of a pixel of each class
    settings: SegmentationSettings
    label_smoothing: float
    needs = frozenset({"lesions"})
    columns = ["val_loss", "val_dice"]  # noqa: RUF012
    best = "val_dice"

    @property
    def draws(self) -> int:
        return tiles.DRAWS if self.settings.tile else 0

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        images, lesions = batch.images, batch.targets["lesions"]
        if self.settings.tile:
            images, lesions = tiles.cut_tiles(
                images, lesions, batch.draws, self.settings.tile, self.settings.lesion_tiles
            )
        log_probs = network(images).float().log_softmax(1)
        losses = self.compute_losses(log_probs, map_mask_classes(lesions, self.classes))
        return losses.sum(), losses.new_empty((len(images), 0))

    def compute_losses(self, log_probs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, classes, H, W) and (B, 1, H, W) → the loss of each image (B,).

        Products with one-hot masks replace indexing, whose gradient is not deterministic on a GPU.
        """
        truth = (classes == torch.arange(log_probs.shape[1], device=log_probs.device)[:, None, None]).float()
        return self._compute_pixel_loss(log_probs, truth) + compute_dice_loss(log_probs.exp(), truth)

    def _compute_pixel_loss(self, log_probs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The mean over an image's pixels, weighted by class."""
        smoothed = truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[1]
        losses = -(smoothed * log_probs).sum(1)
        if self.settings.pixel_loss == "focal":
            losses = losses * (1 - (truth * log_probs.exp()).sum(1)) ** _FOCAL_EXPONENT
        weights = (truth * torch.tensor(self.weights, device=log_probs.device)[:, None, None]).sum(1)
        return (weights * losses).sum((1, 2)) / weights.sum((1, 2))

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:  # (B, 1 + maps × COUNTS_PER_MAP)
        settings, lesions = self.settings, batch.targets["lesions"]
        probs = tiles.predict_probabilities(network, batch.images, settings.tile, settings.window_overlap)
        log_probs = probs.clamp_min(torch.finfo().tiny).log()
        losses = self.compute_losses(log_probs, map_mask_classes(lesions, self.classes))
        counts = count_at_thresholds(make_maps(probs), make_truth_maps(lesions, self.classes))
        return torch.cat([losses[:, None], counts.flatten(1)], dim=1)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {}

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Dice is the mean over the maps, each at its best threshold."""
        counts = outputs[:, 1:].view(len(outputs), len(get_map_names(self.classes)), COUNTS_PER_MAP).numpy()
        dices = [find_best_threshold(counts[:, number])[1] for number in range(counts.shape[1])]
        return {"val_loss": float(outputs[:, 0].mean()), "val_dice": float(np.nanmean(dices))}


def compute_dice_loss(probs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 − Dice, averaged over the lesion classes that an image shows, so that small lesions count as much as large
    ones. An image without lesions has no Dice loss."""
    both, areas = ((part[:, 1:]).sum((2, 3)) for part in (probs * truth, probs + truth))
    shown = truth[:, 1:].amax((2, 3))
    return ((1 - (2 * both + 1) / (areas + 1)) * shown).sum(1) / shown.sum(1).clamp(min=1)


def make_segmentation(
    settings: SegmentationSettings, label_smoothing: float, pixels: np.ndarray, images: int
) -> Segmentation:
    """Make the task for training `images` whose masks have so many `pixels` of each value."""
    classes = CLASS_SETS[settings.classes]
    if settings.tile:
        pixels = tiles.count_pixels_in_tiles(pixels, settings.tile**2 * images / pixels.sum(), settings.lesion_tiles)
    weigh = settings.class_weights == "rarity"
    weights = compute_class_weights(classes, pixels) if weigh else (1.0,) * len(classes.names)
    return Segmentation(classes, weights, settings, label_smoothing)


def compute_class_weights(classes: ClassSet, pixels: np.ndarray) -> tuple[float, ...]:
    """The square root of how many times rarer than background a class is, and 1 for an absent class. Without the root,
    lesions would be drawn far beyond their border."""
    counts = np.bincount(classes.of_mask, weights=pixels)
    return tuple(float(np.sqrt(counts[0] / count)) if count else 1.0 for count in counts)
