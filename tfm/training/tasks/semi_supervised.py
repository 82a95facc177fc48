"""Learning from images without a label beside those that have one: from the network's own sure answers, or from those
of its moving average. What is made of the labelled ones is the task's that stands within.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tfm.training.batches import Batch, mirrored
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.settings import LabelSettings
from tfm.training.tasks import Task

_DECAY = 0.99  # of the teacher, a step
_TEACHER = "teacher."  # how the names of its tensors begin in a checkpoint


class Teacher:
    """A moving average of the network that is trained, and always as it is when asked: nothing of it is dropped."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        self.network.to(next(network.parameters()).device)  # it was made before the network went there
        for own, other in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            own.lerp_(other, 1 - _DECAY) if own.is_floating_point() else own.copy_(other)

    def state(self) -> dict[str, torch.Tensor]:
        return {f"{_TEACHER}{name}": one for name, one in self.network.state_dict().items()}

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        self.network.load_state_dict({name.removeprefix(_TEACHER): one for name, one in state.items()})


@dataclass(frozen=True)
class Semi:
    """`within` gives answers that begin with a logit, and lets an UNKNOWN label add nothing."""

    within: Task
    labels: LabelSettings
    teacher: Teacher | None  # for consistency

    @property
    def needs(self) -> frozenset[str]:
        return self.within.needs

    @property
    def chances(self) -> int:
        return self.within.chances

    @property
    def columns(self) -> list[str]:
        return [self._told, *self.within.columns]

    @property
    def best(self) -> str:
        return self.within.best

    @property
    def _told(self) -> str:
        return "train_disagreement" if self.teacher else "train_trusted"

    def advance(self, network: nn.Module) -> None:
        self.within.advance(network)
        if self.teacher:
            self.teacher.follow(network)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        loss, answers = self.within.loss(network, batch)
        unknown = batch.truth["labels"] == UNKNOWN
        logits = answers[:, 0].float()
        each, told = self._taught(batch, logits) if self.teacher else self._trusted(logits)
        loss = loss + self.labels.unlabelled_weight * (each * unknown).sum()
        return loss, torch.cat([answers.float(), told[:, None]], dim=1)

    def _trusted(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) the loss of each image by its own answer, where it is sure; and (B,) whether it is."""
        probs = torch.sigmoid(logits.detach())
        sure = (torch.maximum(probs, 1 - probs) >= self.labels.confidence).float()
        own = functional.binary_cross_entropy_with_logits(logits, (probs >= 0.5).float(), reduction="none")
        return own * sure, sure

    def _taught(self, batch: Batch, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) how far each answer is from the teacher's about the mirror image, squared; and the same to be told."""
        assert self.teacher
        with torch.no_grad():
            wanted = torch.sigmoid(self.within.answers(self.teacher.network, mirrored(batch))[:, 0].float())
        apart = (torch.sigmoid(logits) - wanted).square()
        return apart, apart.detach()

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return self.within.answers(network, batch)

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        unknown = answers[:, -1][torch.from_numpy(labels == UNKNOWN)]
        return {self._told: float(unknown.double().mean())} | self.within.learned(answers[:, :-1], labels)

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        return self.within.figures(answers, labels)

    def state(self) -> dict[str, torch.Tensor]:
        return self.within.state() | (self.teacher.state() if self.teacher else {})

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        own = {name: one for name, one in state.items() if name.startswith(_TEACHER)}
        self.within.take_up({name: one for name, one in state.items() if name not in own})
        if self.teacher:
            self.teacher.take_up(own)
