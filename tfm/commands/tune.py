"""Search a model's settings by many short trainings

Each trial is a run of its own. The best one is chosen on validation; the test is never used.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, NOT_IN_RUN_KEY, POSITIONAL, CacheName, ModelName, Settings
from tfm.core.settings.fields import list_fields
from tfm.data.settings import TrainingCache, TrainingDataset, ValidationFold
from tfm.training.settings import DEFAULT_SEED, MachineSettings
from tfm.training.tune.settings import HyperbandSettings, StorageUrl, parse_space

# Settings that the study sets itself, or that all trials must share to be comparable.
_NOT_SEARCHED = {"dataset", "cache", "fold", "epochs", "tta", "seed", "extends", "study", "trial"}

_SET_ELSEWHERE = {
    "epochs": f"set the epochs of a trial outside the space: {hints.setting('max_epochs')} and "
    f"{hints.setting('min_epochs')}",
    "cache": f"name other caches outside the space: {hints.setting('caches', 'NAME,NAME')}",
}


def _parse_search_space(space: dict[str, Any]) -> dict[str, Any]:
    known = {
        field.name: field
        for field in list_fields(Train)
        if field.name not in _NOT_SEARCHED and NOT_IN_RUN_KEY not in field.info.metadata and not field.is_mapping
    }
    own = (field for field in list_fields(Tune) if not field.is_positional)
    elsewhere = {field.name: f"set it outside the space: {hints.setting(field.name)}" for field in own}
    parsed = parse_space(space, known, elsewhere | _SET_ELSEWHERE)
    if "none" in parsed.get("trained", ()):
        raise SettingsError(
            "the search space contains trained: none. A regression has no epochs and finds its best setting itself",
            hint="remove none: all, last_stage and head can be searched",
            fields=("space",),
        )
    return parsed


class Tune(Settings):
    model: Annotated[ModelName, POSITIONAL, IMPORTANT] = "EfficientNetB3_CFT"
    """Which model's settings do you want to search?
    A preset of train. Settings outside the search space keep the preset's values."""
    dataset: TrainingDataset
    cache: TrainingCache
    caches: tuple[CacheName, ...] = ()
    """Which other caches of the same images should be tried, for example of another size?
    If you name none, every trial uses the cache above."""
    fold: ValidationFold = 1
    trials: Annotated[int, Field(ge=1), IMPORTANT] = 20
    """How many trials should the study have in total?
    Earlier trials of the same study count. To continue a study, ask for more."""
    space: Annotated[dict[str, Any], Field(default_factory=dict), AfterValidator(_parse_search_space)]
    """Which settings should be searched, each in which range or among which values?
    By their names in train, for example {learning_rate: {low: 0.00001, high: 0.001, log: true}}. The preset's search
    space applies to all settings that are not named here. A list of one value fixes that value for all trials."""
    hyperband: HyperbandSettings = HyperbandSettings()
    seed: int = DEFAULT_SEED
    """Seed of the search and of each trial"""
    storage: StorageUrl | None = None
    """Which database should contain the study, so that several workers can share it?
    An Optuna address: sqlite:///FILE or postgresql://USER@HOST/NAME. Passwords are never stored: use PGPASSWORD or
    ~/.pgpass. If empty: a file in the run."""
    worker: Annotated[int, Field(ge=1)] = 1
    """Number of this worker, if several share a storage
    Start the same command with another number in another terminal or on another machine to share the trials."""
    machine: MachineSettings = MachineSettings()

    @model_validator(mode="after")
    def _check_storage(self) -> Tune:
        if self.worker > 1 and self.storage is None:
            raise SettingsError(
                f"worker {self.worker} needs a shared storage",
                hint=f"give all workers the same {hints.setting('storage')}, as in sqlite:///study.db",
                fields=("storage",),
            )
        return self


COMMAND = Stage(
    settings=Tune,
    pipeline="tfm.pipelines.tune:tune",
    version=2,
    presets="tune",
    default_preset="any",
    extends_by="trials",
)
