"""Build the plan: run a study, then train its winner."""

from __future__ import annotations

from typing import Any

from tfm.commands.tune import Tune
from tfm.commands.tune_and_train import TuneAndTrain
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.serialize import collect_non_default_values


def plan_tune_and_train(settings: TuneAndTrain, workspace: Workspace) -> list[Step]:
    preset = workspace.load_preset("tune", settings.search)
    model = preset.settings.get("model", Tune.model_fields["model"].default)
    shared = collect_non_default_values(settings.machine)  # the model's preset sets the rest
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    return [
        Step("study", "tune", given | {"trials": settings.trials} | shared, preset.name),
        Step("winner", "train", {"study": "@study.run"} | shared, model),
    ]
