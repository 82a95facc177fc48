"""Search a model's settings by many short trainings

Each trial is a run of its own. What is best is what validation says; the test is never looked at.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Stage
from tfm.core.settings.fields import list_fields
from tfm.core.settings.schema import IMPORTANT, NOT_IN_RUN_KEY, POSITIONAL, CacheName, DatasetName, ModelName, Settings
from tfm.training.settings import DEFAULT_SEED, MachineSettings
from tfm.training.tune.settings import HyperbandSettings, StorageUrl, parse_space

# What a study itself says of its trials, or what every trial must share to be comparable.
_NOT_SEARCHED = {"dataset", "cache", "fold", "epochs", "tta", "seed", "extends", "study", "trial"}


_SAID_BY = {
    "epochs": f"how many a trial has is said beside the space: {hints.setting('max_epochs')} and "
    f"{hints.setting('min_epochs')}",
    "cache": f"the others to try are named beside the space: {hints.setting('caches', 'NAME,NAME')}",
}


def _searchable(space: dict[str, Any]) -> dict[str, Any]:
    known = {
        field.name: field
        for field in list_fields(Train)
        if field.name not in _NOT_SEARCHED and NOT_IN_RUN_KEY not in field.info.metadata and not field.is_mapping
    }
    if "none" in space.get("trained", ()):
        raise SettingsError(
            "the space to search holds none for trained: a regression takes no steps, and finds its own best setting",
            hint="leave none out: all, last_stage and head are searched",
            fields=("space",),
        )
    own = (field for field in list_fields(Tune) if not field.is_positional)
    elsewhere = {field.name: f"it is said beside the space: {hints.setting(field.name)}" for field in own}
    return parse_space(space, known, elsewhere | _SAID_BY)


class Tune(Settings):
    model: Annotated[ModelName, POSITIONAL] = "EfficientNetB3_CFT"
    """The model whose settings are searched
    A preset of the model menu; what the space doesn't name stays as the preset has it."""
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    caches: tuple[CacheName, ...] = ()
    """Other caches of the same images to try, of another size for example
    None: all trials take the one above."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    trials: Annotated[int, Field(ge=1), IMPORTANT] = 20
    """How many trials, in all
    However often the study is started: those that were made before count. Ask for more, and it goes on."""
    space: Annotated[dict[str, Any], Field(default_factory=dict), AfterValidator(_searchable)]
    """The settings to search, each with its range or its values
    By the names of `train`, as in {learning_rate: {low: 0.00001, high: 0.001, log: true}}. What the preset searches is
    searched too, if nothing else is said of it. A list of one value is no search: it holds for all trials."""
    hyperband: HyperbandSettings = HyperbandSettings()
    seed: int = DEFAULT_SEED
    """Seed of the search, and of every trial"""
    storage: StorageUrl | None = None
    """Database that keeps the study, for several workers: an address that Optuna knows
    sqlite:///FILE or postgresql://USER@HOST/NAME. A password is never kept: give it in PGPASSWORD or ~/.pgpass. None:
    a file in the run."""
    worker: Annotated[int, Field(ge=1)] = 1
    """Number of this worker, where several share a storage
    The same command with another number, in another terminal or on another machine, shares the trials."""
    machine: MachineSettings = MachineSettings()

    @model_validator(mode="after")
    def _can_be_shared(self) -> Tune:
        if self.worker > 1 and self.storage is None:
            raise SettingsError(
                f"worker {self.worker} has no storage to share",
                hint=f"give all workers the same {hints.setting('storage')}, as in sqlite:///study.db",
                fields=("storage",),
            )
        return self


COMMAND = Stage(
    settings=Tune,
    pipeline="tfm.pipelines.tune:tune",
    version=1,
    presets="tune",
    default_preset="any",
    extends_by="trials",
)
