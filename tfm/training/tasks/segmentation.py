"""Lesions pixel by pixel: from logits and masks to a loss and to Dice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tfm.data.dataset.lesion_classes import CLASS_SETS, ClassSet
from tfm.training import tiles
from tfm.training.batches import Batch
from tfm.training.lesion_maps import TALLY, best_threshold, classes_of, map_names, maps_of, tally, truths_of
from tfm.training.settings import OptimSettings, SegmentSettings

_FOCUS = 2.0  # the exponent of the focal loss


@dataclass(frozen=True)
class Segment:
    classes: ClassSet
    weights: tuple[float, ...]  # of a pixel of each class
    settings: SegmentSettings
    label_smoothing: float
    needs = frozenset({"lesions"})
    columns = ["val_loss", "val_dice"]  # noqa: RUF012
    best = "val_dice"

    @property
    def chances(self) -> int:
        return tiles.CHANCES if self.settings.tile else 0

    def advance(self, network: nn.Module) -> None:
        pass

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        images, lesions = batch.images, batch.truth["lesions"]
        if self.settings.tile:
            images, lesions = tiles.cut_out(
                images, lesions, batch.chances, self.settings.tile, self.settings.lesion_tiles
            )
        losses = self.losses(network(images).float().log_softmax(1), classes_of(lesions, self.classes))
        return losses.sum(), losses.new_empty((len(images), 0))

    def losses(self, logs: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """Of each image (B,): logarithms of probabilities (B, classes, H, W), classes (B, 1, H, W).

        By products with ones and zeros in place of picking: that is the same each time on a GPU too."""
        truth = (told == torch.arange(logs.shape[1], device=logs.device)[:, None, None]).float()
        return self._of_pixels(logs, truth) + of_lesions(logs.exp(), truth)

    def _of_pixels(self, logs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The mean over an image's pixels, those of rare classes weighing more."""
        wanted = truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[1]
        losses = -(wanted * logs).sum(1)
        if self.settings.pixel_loss == "focal":
            losses = losses * (1 - (truth * logs.exp()).sum(1)) ** _FOCUS
        weights = (truth * torch.tensor(self.weights, device=logs.device)[:, None, None]).sum(1)
        return (weights * losses).sum((1, 2)) / weights.sum((1, 2))

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:  # (B, 1 + maps × TALLY)
        settings, lesions = self.settings, batch.truth["lesions"]
        probs = tiles.probabilities(network, batch.images, settings.tile, settings.window_overlap)
        losses = self.losses(probs.clamp_min(torch.finfo().tiny).log(), classes_of(lesions, self.classes))
        counts = tally(maps_of(probs), truths_of(lesions, self.classes))
        return torch.cat([losses[:, None], counts.flatten(1)], dim=1)

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return {}

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Dice is the mean over the maps, each at the threshold that is best for it."""
        tallies = answers[:, 1:].view(len(answers), len(map_names(self.classes)), TALLY).numpy()
        found = [best_threshold(tallies[:, number])[1] for number in range(tallies.shape[1])]
        return {"val_loss": float(answers[:, 0].mean()), "val_dice": float(np.nanmean(found))}

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        if state:
            raise ValueError("it knows of more than a network learns from")


def of_lesions(probs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice, the mean over the lesion classes that an image shows: a small lesion counts as much as a large one. An
    image without lesions is learned from pixel by pixel alone."""
    both, areas = ((part[:, 1:]).sum((2, 3)) for part in (probs * truth, probs + truth))
    shown = truth[:, 1:].amax((2, 3))
    return ((1 - (2 * both + 1) / (areas + 1)) * shown).sum(1) / shown.sum(1).clamp(min=1)


def segment(settings: SegmentSettings, optim: OptimSettings, pixels: np.ndarray, images: int) -> Segment:
    """Of so many training `images`, whose masks hold so many `pixels` of each value."""
    classes = CLASS_SETS[settings.classes]
    if settings.tile:
        pixels = tiles.pixels_shown(pixels, settings.tile**2 * images / pixels.sum(), settings.lesion_tiles)
    rare = settings.class_weights == "rarity"
    weights = pixel_weights(classes, pixels) if rare else (1.0,) * len(classes.names)
    return Segment(classes, weights, settings, optim.label_smoothing)


def pixel_weights(classes: ClassSet, pixels: np.ndarray) -> tuple[float, ...]:
    """The root of how many times rarer than background a class is: in full, a lesion's rim would be drawn far outside
    it. One for a class that is not there."""
    counts = np.bincount(classes.of_mask, weights=pixels)
    return tuple(float(np.sqrt(counts[0] / count)) if count else 1.0 for count in counts)
