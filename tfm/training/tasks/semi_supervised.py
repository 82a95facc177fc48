"""Training on images without labels too: from the network's own confident predictions, or from a mean teacher's.

The labelled images are left to the task inside.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tfm.training.batches import Batch, mirror_batch
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.settings import LabelSettings
from tfm.training.tasks import Task

DECAY = 0.99  # of the teacher's average, for each step
_TEACHER = "teacher."  # prefix of the teacher's tensors in a checkpoint


class Teacher:
    """A moving average of the trained network, always in evaluation mode."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.network.to(next(network.parameters()).device)  # the network moved there after the teacher was made
        for own, other in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            own.lerp_(other, 1 - DECAY) if own.is_floating_point() else own.copy_(other)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {f"{_TEACHER}{name}": one for name, one in self.network.state_dict().items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.network.load_state_dict({name.removeprefix(_TEACHER): one for name, one in state.items()})


@dataclass(frozen=True)
class SemiSupervised(Task):
    """The first output of the task inside must be a logit, and an UNKNOWN label must add nothing to its loss."""

    inside: Task
    labels: LabelSettings
    teacher: Teacher | None  # for consistency

    @property
    def needs(self) -> frozenset[str]:
        return self.inside.needs

    @property
    def draws(self) -> int:
        return self.inside.draws

    @property
    def columns(self) -> list[str]:
        return [self._metric, *self.inside.columns]

    @property
    def best(self) -> str:
        return self.inside.best

    @property
    def _metric(self) -> str:
        return "train_disagreement" if self.teacher else "train_trusted"

    def start_step(self, network: nn.Module) -> None:
        self.inside.start_step(network)
        if self.teacher:
            self.teacher.update(network)

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        loss, outputs = self.inside.compute_loss(network, batch)
        unknown = batch.targets["labels"] == UNKNOWN
        logits = outputs[:, 0].float()
        losses, metric = (
            self._compare_with_teacher(batch, logits) if self.teacher else self._compute_pseudo_loss(logits)
        )
        loss = loss + self.labels.unlabelled_weight * (losses * unknown).sum()
        return loss, torch.cat([outputs.float(), metric[:, None]], dim=1)

    def _compute_pseudo_loss(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each image's loss against its own pseudo-label where the network is confident, and whether it is; (B,)."""
        probs = torch.sigmoid(logits.detach())
        confident = (torch.maximum(probs, 1 - probs) >= self.labels.confidence).float()
        losses = functional.binary_cross_entropy_with_logits(logits, (probs >= 0.5).float(), reduction="none")
        return losses * confident, confident

    def _compare_with_teacher(self, batch: Batch, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared difference to the teacher's probability for the mirror image, as a loss and as a metric; (B,)."""
        assert self.teacher
        with torch.no_grad():
            targets = torch.sigmoid(self.inside.predict(self.teacher.network, mirror_batch(batch))[:, 0].float())
        difference = (torch.sigmoid(logits) - targets).square()
        return difference, difference.detach()

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return self.inside.predict(network, batch)

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        unknown = outputs[:, -1][torch.from_numpy(labels == UNKNOWN)]
        own = {self._metric: float(unknown.double().mean())}
        return own | self.inside.compute_train_metrics(outputs[:, :-1], labels)

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.inside.compute_val_metrics(outputs, labels)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.inside.state_dict() | (self.teacher.state_dict() if self.teacher else {})

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        own = {name: one for name, one in state.items() if name.startswith(_TEACHER)}
        self.inside.load_state_dict({name: one for name, one in state.items() if name not in own})
        if self.teacher:
            self.teacher.load_state_dict(own)
