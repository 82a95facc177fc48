"""Classification with the breast mask: features pooled over the breast, contrasted with the background's, and spectral
terms on attention. The terms themselves live in models: features and spectral.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tfm.models.attention_spectral_loss import SpectralNorms, compute_excess
from tfm.models.features import (
    average_breast,
    classify_pooled,
    compare_to_background,
    compute_feature_map,
    resize_to_features,
)
from tfm.models.record_attention import find_attentions, record_attention
from tfm.training.batches import Batch, Images
from tfm.training.settings import BreastSettings
from tfm.training.tasks import Task
from tfm.training.tasks.classification import Classification


@dataclass(frozen=True)
class BreastAwareClassification(Task):
    plain: Classification
    terms: BreastSettings
    norms: SpectralNorms | None  # where beta is not zero
    needs = frozenset({"labels", "breast"})
    best = "val_auc"

    @property
    def columns(self) -> list[str]:
        attention = ["val_excess"] if self.terms.attention_gamma else []
        return [*self.plain.columns, "val_likeness", *attention]

    def start_step(self, network: nn.Module) -> None:
        if self.norms:
            self.norms.advance(network)

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.predict(network, batch)
        loss = self.plain.compute_cross_entropy(outputs, batch.targets["labels"])
        loss = loss + self.terms.background_contrast * outputs[:, 1].sum()
        loss = loss + self.terms.attention_gamma * outputs[:, 3].sum()
        if self.norms:
            loss = loss + self.terms.beta * self.norms(network) * len(outputs)
        return loss, outputs

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 4): logit; cosine of breast and background features; 1 where both exist, else 0; attention's excess."""
        attentions: list[Any] = find_attentions(network) if self.terms.attention_gamma else []
        with record_attention(attentions) as maps:
            features = compute_feature_map(network, batch.images)
        breast = resize_to_features(batch.targets["breast"], features)
        pooled = breast if self.terms.pooling == "breast" else torch.ones_like(breast)
        logits = classify_pooled(network, average_breast(features, pooled))
        cosine, both = compare_to_background(features.float(), breast)
        excess = torch.zeros_like(cosine)
        if maps:
            excess = compute_excess(maps, [attention.window_size for attention in attentions], len(cosine))
        return torch.stack([logits[:, 0].float(), cosine, both.float(), excess], dim=1)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.plain.compute_train_metrics(outputs, labels)

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        _, cosine, both, excess = outputs.double().sum(0).tolist()
        metrics = {"val_likeness": cosine / max(both, 1)}
        if self.terms.attention_gamma:
            metrics["val_excess"] = excess / len(labels)
        return self.plain.compute_val_metrics(outputs, labels) | metrics

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.norms.vectors if self.norms else {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        if self.norms:
            self.norms.restore(state)
        else:
            super().load_state_dict(state)


def describe_missing_terms(terms: BreastSettings, images: Images) -> list[str]:
    """Say for how many images a term has no effect because their breast mask is empty or full."""
    if terms.pooling == "average" and not terms.background_contrast:
        return []
    breasts, positions = images.cache.breast, images.samples.positions
    empty = sum(not breasts[position].any() for position in positions)
    full = sum(bool(breasts[position].all()) for position in positions)
    sentences = []
    if empty and terms.pooling == "breast":
        sentences.append(
            f"{empty} of the {len(positions)} images have an empty breast mask: their features are averaged over the "
            "whole image"
        )
    if empty + full and terms.background_contrast:
        sentences.append(
            f"{empty + full} of the {len(positions)} images have no breast or no background: the contrast term is "
            "zero there"
        )
    return sentences
