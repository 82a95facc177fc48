"""Run a hyperparameter study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tfm.analysis.figures.style import save_figure
from tfm.analysis.study_report import draw_study, rank_trials
from tfm.commands.train import COMMAND as TRAIN
from tfm.commands.train import Train
from tfm.commands.tune import COMMAND, Tune
from tfm.core import hints
from tfm.core.errors import SettingsError, TrainingError
from tfm.core.events import Event, Note, Picture, Result
from tfm.core.runs.keys import compute_run_key
from tfm.core.runs.lookup import read_runs
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_non_default_values
from tfm.data.seen_patients import hide_names
from tfm.models.weights import fetch_weights
from tfm.pipelines.train import open_training_data
from tfm.training.device import resolve_device
from tfm.training.inputs.starting_point import find_exported_weights, find_weights_source
from tfm.training.settings import DEFAULT_SEED
from tfm.training.tune.claim_trials import Worker
from tfm.training.tune.run_trials import Search
from tfm.training.tune.storage import hold_storage, report_database_errors
from tfm.training.tune.study import Study, find_best, get_message
from tfm.training.tune.trial_settings import TrialTemplate, list_fixed_values

_SHOWN = 10  # trials in the table at the end


def tune(settings: Tune, run: Run) -> Iterator[Event]:
    data = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    seed = {"seed": settings.seed} if settings.seed != DEFAULT_SEED else {}
    shared = data | seed | collect_non_default_values(settings.machine) | {"epochs": settings.hyperband.max_epochs}
    model = run.workspace.load_preset("models", settings.model)
    template = TrialTemplate(TRAIN, model, shared)
    space = settings.space | ({"cache": [settings.cache, *settings.caches]} if settings.caches else {})
    _check_trials(settings, run, template, space)
    address = settings.storage or f"sqlite:///{run.study_file}"
    with report_database_errors(address), hold_storage(address) as storage:
        study = Study(storage, _build_study_name(settings, run), space, settings.hyperband, settings.seed)
        searched = [name for name, options in space.items() if not isinstance(options, list) or len(options) > 1]
        _check_not_emptied(study, run, address)
        yield Note(f"{study.name}: {settings.trials} trials of {settings.model}; searched: {', '.join(searched)}")
        yield from Search(Worker(run, study, settings.trials), template, searched).run_trials()
        trials = study.list_trials(settings.trials)
    yield from _report_winner(settings, run, trials, searched, template)


def _check_not_emptied(study: Study, run: Run, address: str) -> None:
    """Refuse to begin again without a word where the database lost the trials of this run."""
    if study.list_trials(1):
        return
    lost = sum(status.part_of == run.id for _, status in read_runs(run.workspace))
    if lost:
        raise TrainingError(
            f"the storage {address} has no trial, but {lost} were begun: it was emptied, removed or replaced",
            hint=f"put the database back, or begin a new study: {run.describe_restart()}",
        )


def _build_study_name(settings: Tune, run: Run) -> str:
    """Equal searches have equal names, whatever their number of trials, storage and worker."""
    alike = settings.model_copy(update={"trials": 1, "storage": None, "worker": 1})
    return f"tfm-{compute_run_key(run.workspace, COMMAND, alike)}"


def _check_trials(settings: Tune, run: Run, template: TrialTemplate, space: dict[str, Any]) -> None:
    """Raise the errors that would end every trial. Let `run` remember its data and the patients that trials see,
    directly or through their first weights."""
    model = template.model
    given = {name: template.shared[name] for name in ("dataset", "cache")}
    if resolve(Train, model.settings, given).model.trained == "none":
        raise SettingsError(
            f"{model.name} trains no layer, and its regression finds its best setting itself",
            hint="search the settings of a model that is trained, such as EfficientNetB3_CFT",
            fields=("model",),
        )
    template.check_space(run.workspace, space)
    first = template.resolve(template.fill(list_fixed_values(space)))
    assert isinstance(first, Train)
    resolve_device(first.machine.device)
    data, *_ = [  # opens all caches, to check them
        open_training_data(first.model_copy(update={"cache": cache}), run.workspace)
        for cache in space.get("cache", [settings.cache])
    ]
    run.save_facts(
        dataset=settings.dataset,
        dataset_hash=data.dataset.content_hash,
        split_hash=data.dataset.split_hash,
        protocol=data.dataset.protocol,
        synthetic=data.dataset.synthetic,
    )
    names = space.get("weights", [first.model.weights])
    found = [find_weights_source(run.workspace, name, data.val, data.test) for name in names]
    sources = [source for source in found if source]
    if len(names) == 1 and len(space.get("architecture", [""])) == 1:
        fetch_weights(
            first.model,
            sources[0].open_checkpoints().best if sources else None,
            refer=lambda value: hints.setting("space", f"{{weights: [{value}]}}"),
        )
    exported = [find_exported_weights(run.workspace, name, data.val, data.test) for name in names]
    seen = {*data.train.patient_names, *data.val.patient_names}.union(
        *(source.read_patients_seen() for source in [*sources, *exported] if source)
    )
    run.save_facts(patients_seen=hide_names(seen, run.workspace))


def _report_winner(
    settings: Tune, run: Run, trials: list[FrozenTrial], searched: list[str], template: TrialTemplate
) -> Iterator[Event]:
    best = find_best(trials)
    if best is None:
        messages = [message for trial in trials if (message := get_message(trial))]
        raise TrainingError(
            f"none of the {len(trials)} trials was completed"
            + (f"; the first one failed: {messages[0]}" if messages else ""),
            hint=f"correct the cause, then {run.describe_restart()}; or search a space with less extreme values",
        )
    yield rank_trials(trials, searched, _SHOWN)
    facts = run.read_environment()
    caption = (
        f"{settings.model}; dataset {settings.dataset} ({facts['protocol']}; {facts['dataset_hash'][:8]}), split "
        f"{facts['split_hash'][:8]}; validation AUC per image, too optimistic to report: trials are chosen by it"
        f"{'; these images are phantoms' if facts['synthetic'] else ''}"
    )
    pictures: list[Path] = []
    for name, (title, figure) in draw_study(trials, searched).items():
        pictures += save_figure(figure, run.figures_folder, name, caption)
        yield Picture(str(pictures[-2]), title)
    states = [trial.state.name for trial in trials]
    given = template.fill(best.params)
    winner = {name: given[name] for name in best.params if name in given}
    data = {name: given[name] for name in ("dataset", "cache", "fold") if name not in winner}
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
        outputs=[str(path) for path in pictures],
        summary=f"Trial {best.number} of {len(trials)} is the best, with a validation AUC of {best.value:.3f}. "
        f"Train it: {hints.command('train', settings.model, study=run.id)}",
    )
