"""Search a model's settings by many short trainings

Each trial is a run of its own. What is best is what validation says; the test is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from tfm.commands.train import Train, arranged
from tfm.core import hints
from tfm.core.errors import SettingsError, TrainingError
from tfm.core.events import Event, Note, Picture, Result
from tfm.core.registry import stage
from tfm.core.runs.inputs import compute_run_key
from tfm.core.runs.run import Run
from tfm.core.settings.fields import list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import IMPORTANT, NOT_IN_RUN_KEY, POSITIONAL, CacheName, DatasetName, ModelName, Settings
from tfm.core.settings.serialize import collect_non_default_values
from tfm.training.settings import DEFAULT_SEED, MachineSettings
from tfm.training.tune.settings import HyperbandSettings, StorageUrl, parse_space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# What a study itself says of its trials, or what every trial must share to be comparable.
_NOT_SEARCHED = {"dataset", "cache", "fold", "epochs", "tta", "seed", "extends", "study", "trial"}
_SAID_BY = {
    "epochs": f"how many a trial has is said beside the space: {hints.setting('max_epochs')} and "
    f"{hints.setting('min_epochs')}",
    "cache": f"the others to try are named beside the space: {hints.setting('caches', 'NAME,NAME')}",
}
_SHOWN = 10  # trials in the table at the end


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


@stage(version=1, presets="tune", default_preset="any", extends_by="trials")
def tune(settings: Tune, run: Run) -> Iterator[Event]:
    from tfm.training.tune.search import Search
    from tfm.training.tune.storage import open_storage, report_database_errors
    from tfm.training.tune.study import Study

    model = run.workspace.load_preset("models", settings.model)
    shared = _shared_by_trials(settings)
    space = settings.space | ({"cache": [settings.cache, *settings.caches]} if settings.caches else {})
    _check_trials(settings, run, model, shared, space)
    address = settings.storage or f"sqlite:///{run.study_file}"
    with report_database_errors(address):
        study = Study(open_storage(address), name_of(settings, run), space, settings.hyperband, settings.seed)
        searched = [name for name, options in space.items() if not isinstance(options, list) or len(options) > 1]
        yield Note(f"{study.name}: {settings.trials} trials of {settings.model}; searched: {', '.join(searched)}")
        yield from Search(run, study, settings.trials, model, shared, searched).events()
        trials = study.trials(settings.trials)
    yield from _concluded(settings, run, trials, searched, shared)


def name_of(settings: Tune, run: Run) -> str:
    """Equal searches have equal names, however many trials they are to have, wherever they are kept, whoever works."""
    alike = settings.model_copy(update={"trials": 1, "storage": None, "worker": 1})
    return f"tfm-{compute_run_key(run.workspace, tune, alike)}"


def _shared_by_trials(settings: Tune) -> dict[str, Any]:
    """What the study says of all its trials; of the rest the model's preset has the word."""
    seed = {"seed": settings.seed} if settings.seed != DEFAULT_SEED else {}
    data = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    return data | seed | collect_non_default_values(settings.machine) | {"epochs": settings.hyperband.max_epochs}


def _check_trials(settings: Tune, run: Run, model: Preset, shared: dict[str, Any], space: dict[str, Any]) -> None:
    """Whatever would end each trial ends the study before its first. `run` remembers whom trials learn or choose
    from, themselves and through their first weights: they have been seen, by whatever comes of it."""
    from tfm.models.weights import fetch_weights
    from tfm.training.device import resolve as check_device
    from tfm.training.inputs.lineage import of_weights
    from tfm.training.tune.trial_settings import check_values, given_to_trial, only_values

    given = {name: shared[name] for name in ("dataset", "cache")}
    if resolve(Train, model.settings, given).model.trained == "none":
        raise SettingsError(
            f"{model.name} trains no layer: its regression finds its own best setting",
            hint="search the settings of a model that is trained, as EfficientNetB3_CFT",
            fields=("model",),
        )
    check_values(run.workspace, model, shared, space)
    first = resolve(Train, model.settings, given_to_trial(model, shared | only_values(space)))
    check_device(first.machine.device)
    materials = [
        arranged(first.model_copy(update={"cache": cache}), run.workspace)
        for cache in space.get("cache", [settings.cache])
    ]
    material = materials[0]
    run.save_facts(
        dataset=settings.dataset,
        dataset_hash=material.dataset.content_hash,
        split_hash=material.dataset.split_hash,
        protocol=material.dataset.protocol,
        synthetic=material.dataset.synthetic,
    )
    names = space.get("weights", [first.model.weights])
    origins = list(filter(None, (of_weights(run.workspace, name, material.val, material.test) for name in names)))
    if len(names) == 1 and len(space.get("architecture", [""])) == 1:
        fetch_weights(
            first.model,
            origins[0].checkpoints.best if origins else None,
            refer=lambda value: hints.setting("space", f"{{weights: [{value}]}}"),
        )
    seen = {*material.train.patients, *material.val.patients}.union(*(one.patients_seen for one in origins))
    run.save_facts(patients_seen=sorted(seen))


def _concluded(
    settings: Tune, run: Run, trials: list[FrozenTrial], searched: list[str], shared: dict[str, Any]
) -> Iterator[Event]:
    from tfm.analysis.study_report import draw_study, rank_trials
    from tfm.training.tune.study import find_best, get_message
    from tfm.training.tune.trial_settings import given_to_trial

    best = find_best(trials)
    if best is None:
        messages = [message for trial in trials if (message := get_message(trial))]
        raise TrainingError(
            f"none of the {len(trials)} trials came to its end"
            + (f"; the first said: {messages[0]}" if messages else ""),
            hint=f"mend what they say, then {run.describe_restart()}; or search a tamer space",
        )
    yield rank_trials(trials, searched, _SHOWN)
    pictures = draw_study(run.figures_folder, trials, searched, _caption(settings, run))
    for path, title in pictures:
        yield Picture(str(path), title)
    states = [trial.state.name for trial in trials]
    given = given_to_trial(run.workspace.load_preset("models", settings.model), shared | best.params)
    winner = {name: given[name] for name in best.params if name in given}
    data = {name: given[name] for name in ("dataset", "cache", "fold") if name not in winner}
    yield Note(f"to train the winner: {hints.command('train', settings.model, study=run.id)}")
    yield Result(
        {
            "run": run.id,
            "model": settings.model,
            "trials": len(trials),
            "pruned": states.count("PRUNED"),
            "failed": states.count("FAIL"),
            "best_trial": best.number,
            "val_auc": best.value,
            "winner": winner,
            "data": data,
        },
        outputs=[str(path) for path, _ in pictures],
    )


def _caption(settings: Tune, run: Run) -> str:
    facts = run.read_environment()
    return (
        f"{settings.model}; dataset {settings.dataset} ({facts['protocol']}; {facts['dataset_hash'][:8]}), split "
        f"{facts['split_hash'][:8]}; AUC of validation, per image: chosen by it, so too good to be reported"
        f"{'; these images are phantoms' if facts['synthetic'] else ''}"
    )
