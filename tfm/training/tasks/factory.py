"""Which task a classifier is trained by, of a person's settings: the plain one, and what is added around it."""

from __future__ import annotations

import numpy as np
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.models.attention import find_attentions
from tfm.models.spectral_loss import SpectralNorms
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.settings import BatchSettings, BreastSettings, LabelSettings, MachineSettings, OptimSettings
from tfm.training.tasks import Task
from tfm.training.tasks.breast_aware import BreastAware
from tfm.training.tasks.classification import classify
from tfm.training.tasks.semi_supervised import Semi, Teacher


def task_of(
    network: nn.Module,
    labels: np.ndarray,  # (n,) of the training images, 0, 1 or UNKNOWN
    batches: BatchSettings,
    optim: OptimSettings,
    machine: MachineSettings,
    breast: BreastSettings,
    labelling: LabelSettings,
) -> Task:
    plain = classify(optim, batches, labels)
    task: Task = plain
    if breast != BreastSettings():
        if machine.compile:
            raise SettingsError(
                "a network that is told where the breast is goes through its parts one by one, and not compiled",
                hint=f"leave it as it is: {hints.setting('compile', False)}",
                fields=("compile",),
            )
        if breast.attention_gamma:
            find_attentions(network)  # refused now where it has none
        task = BreastAware(plain, breast, SpectralNorms(network) if breast.beta else None)
    if (labels == UNKNOWN).any():
        teacher = Teacher(network) if labelling.unlabelled == "consistency" else None
        if teacher and machine.devices * machine.nodes > 1:
            raise SettingsError(
                "a mean teacher also averages what layers have gathered of their batches, which is each process's own, "
                "and there are several",
                hint=f"train on one device ({hints.setting('devices', 1)} "
                f"{hints.setting('nodes', 1)}), or without it: {hints.setting('unlabelled', 'pseudo')} or ignore",
                fields=("devices", "nodes"),
            )
        task = Semi(task, labelling, teacher)
    return task
