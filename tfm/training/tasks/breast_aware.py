"""Benign or malignant, by a network that is told where the breast is: its features averaged there, held apart from the
background's, and its attention kept from being too sharp. Each term stands with the networks, in features and spectral.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tfm.models.attention import find_attentions, record_attention
from tfm.models.features import (
    average_breast,
    classify_pooled,
    compare_to_background,
    compute_feature_map,
    resize_to_features,
)
from tfm.models.spectral_loss import SpectralNorms, compute_excess
from tfm.training.batches import Batch, Images
from tfm.training.settings import BreastSettings
from tfm.training.tasks.classification import Classify


@dataclass(frozen=True)
class BreastAware:
    plain: Classify
    terms: BreastSettings
    norms: SpectralNorms | None  # where beta is not zero
    needs = frozenset({"labels", "breast"})
    chances = 0
    best = "val_auc"

    @property
    def columns(self) -> list[str]:
        attention = ["val_excess"] if self.terms.attention_gamma else []
        return [*self.plain.columns, "val_likeness", *attention]

    def advance(self, network: nn.Module) -> None:
        if self.norms:
            self.norms.advance(network)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        answers = self.answers(network, batch)
        loss = self.plain.cross_entropy(answers, batch.truth["labels"])
        loss = loss + self.terms.background_contrast * answers[:, 1].sum()
        loss = loss + self.terms.attention_gamma * answers[:, 3].sum()
        if self.norms:
            loss = loss + self.terms.beta * self.norms(network) * len(answers)
        return loss, answers

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 4): the logit; how alike breast and background are; whether there are both; the attention's excess."""
        watched: list[Any] = find_attentions(network) if self.terms.attention_gamma else []
        with record_attention(watched) as maps:
            features = compute_feature_map(network, batch.images)
        share = resize_to_features(batch.truth["breast"], features)
        counted = share if self.terms.pooling == "breast" else torch.ones_like(share)
        logits = classify_pooled(network, average_breast(features, counted))
        alike, both = compare_to_background(features.float(), share)
        over = (
            compute_excess(maps, [one.window_size for one in watched], len(alike)) if maps else torch.zeros_like(alike)
        )
        return torch.stack([logits[:, 0].float(), alike, both.float(), over], dim=1)

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.plain.learned(answers, labels)

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        _, alike, both, over = answers.double().sum(0).tolist()
        told = {"val_likeness": alike / max(both, 1)}
        if self.terms.attention_gamma:
            told["val_excess"] = over / len(labels)
        return self.plain.figures(answers, labels) | told

    def state(self) -> dict[str, torch.Tensor]:
        return self.norms.vectors if self.norms else {}

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        if self.norms:
            self.norms.restore(state)
        elif state:
            raise ValueError("it knows of more than a network learns from")


def lacking(terms: BreastSettings, images: Images) -> list[str]:
    """Of how many images a term cannot be had, as they are in the cache."""
    if terms.pooling == "average" and not terms.background_contrast:
        return []
    breasts, positions = images.cache.breast, images.rows.positions
    bare = sum(not breasts[position].any() for position in positions)
    full = sum(bool(breasts[position].all()) for position in positions)
    words = []
    if bare and terms.pooling == "breast":
        words.append(f"{bare} of the {len(positions)} images have no breast: their features are averaged as a whole")
    if bare + full and terms.background_contrast:
        words.append(
            f"{bare + full} of the {len(positions)} images have no breast or no background: the contrast between them "
            "adds nothing there"
        )
    return words
