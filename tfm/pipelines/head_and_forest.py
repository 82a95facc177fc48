"""Build the plan: train a head, fit a forest on the same backbone, average both."""

from __future__ import annotations

from typing import Any

from tfm.commands.head_and_forest import HeadAndForest
from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.serialize import dump_plain_values
from tfm.pipelines.train import open_training_data
from tfm.training.embedding_classifier import check_memory
from tfm.training.inputs.samples import UNKNOWN


def plan_head_and_forest(settings: HeadAndForest, workspace: Workspace) -> list[Step]:
    shared = {"seed": settings.seed, "machine": dump_plain_values(settings.machine)}
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    given |= {"weights": settings.weights} if settings.weights != "preset" else {}
    head = resolve_settings(workspace, "train", given | shared, workspace.load_preset("models", settings.head))
    assert isinstance(head, Train)
    if settings.learning.embedding == "dense128" and head.model.head is None:
        raise SettingsError(
            f"{settings.head} has no hidden layer before its classifier",
            hint=f"choose {hints.setting('embedding', 'pool2048')}, or a model that has one, such as ResNet50_Head",
            fields=("embedding", "head"),
        )
    labels = open_training_data(head, workspace).train.labels
    check_memory(settings.learning, int((labels != UNKNOWN).sum()))  # before the head is trained
    learning = {"learning": dump_plain_values(settings.learning)}
    return [
        Step("head", "train", given | shared, settings.head),
        Step("forest", "forest", {"backbone": "@head.run", **learning, **shared}),
        Step("average", "average", {"runs": ["@head.run", "@forest.run"]}),
    ]
