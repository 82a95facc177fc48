"""Run a hyperparameter study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from optuna.trial import FrozenTrial

from tfm.analysis.study_report import draw_study, rank_trials
from tfm.commands.train import Train
from tfm.commands.tune import COMMAND, Tune
from tfm.core import hints
from tfm.core.errors import SettingsError, TrainingError
from tfm.core.events import Event, Note, Picture, Result
from tfm.core.registry import find_stage
from tfm.core.runs.keys import compute_run_key
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_non_default_values
from tfm.models.weights import fetch_weights
from tfm.pipelines.train import open_training_data
from tfm.training.device import resolve_device as check_device
from tfm.training.inputs.lineage import find_weights_source
from tfm.training.settings import DEFAULT_SEED
from tfm.training.tune.search import Search
from tfm.training.tune.storage import open_storage, report_database_errors
from tfm.training.tune.study import Study, find_best, get_message
from tfm.training.tune.trial_settings import TrialTemplate, list_fixed_values
from tfm.training.tune.worker import Worker

_SHOWN = 10  # trials in the table at the end


def tune(settings: Tune, run: Run) -> Iterator[Event]:
    template = _build_template(settings, run)
    space = settings.space | ({"cache": [settings.cache, *settings.caches]} if settings.caches else {})
    _check_trials(settings, run, template, space)
    address = settings.storage or f"sqlite:///{run.study_file}"
    with report_database_errors(address):
        study = Study(open_storage(address), name_of(settings, run), space, settings.hyperband, settings.seed)
        searched = [name for name, options in space.items() if not isinstance(options, list) or len(options) > 1]
        yield Note(f"{study.name}: {settings.trials} trials of {settings.model}; searched: {', '.join(searched)}")
        yield from Search(Worker(run, study, settings.trials), template, searched).run_trials()
        trials = study.list_trials(settings.trials)
    yield from _concluded(settings, run, trials, searched, template)


def name_of(settings: Tune, run: Run) -> str:
    """Equal searches have equal names, however many trials they are to have, wherever they are kept, whoever works."""
    alike = settings.model_copy(update={"trials": 1, "storage": None, "worker": 1})
    return f"tfm-{compute_run_key(run.workspace, COMMAND, alike)}"


def _build_template(settings: Tune, run: Run) -> TrialTemplate:
    """Collect the settings that all trials share. The preset of the model determines the others."""
    seed = {"seed": settings.seed} if settings.seed != DEFAULT_SEED else {}
    data = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    shared = data | seed | collect_non_default_values(settings.machine) | {"epochs": settings.hyperband.max_epochs}
    return TrialTemplate(find_stage("train"), run.workspace.load_preset("models", settings.model), shared)


def _check_trials(settings: Tune, run: Run, template: TrialTemplate, space: dict[str, Any]) -> None:
    """Whatever would end each trial ends the study before its first. `run` remembers whom trials learn or choose
    from, themselves and through their first weights: they have been seen, by whatever comes of it."""
    model = template.model
    given = {name: template.shared[name] for name in ("dataset", "cache")}
    if resolve(Train, model.settings, given).model.trained == "none":
        raise SettingsError(
            f"{model.name} trains no layer: its regression finds its own best setting",
            hint="search the settings of a model that is trained, as EfficientNetB3_CFT",
            fields=("model",),
        )
    template.check_space(run.workspace, space)
    first = template.resolve(template.fill(list_fixed_values(space)))
    assert isinstance(first, Train)
    check_device(first.machine.device)
    materials = [
        open_training_data(first.model_copy(update={"cache": cache}), run.workspace)
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
    origins = list(
        filter(None, (find_weights_source(run.workspace, name, material.val, material.test) for name in names))
    )
    if len(names) == 1 and len(space.get("architecture", [""])) == 1:
        fetch_weights(
            first.model,
            origins[0].open_checkpoints().best if origins else None,
            refer=lambda value: hints.setting("space", f"{{weights: [{value}]}}"),
        )
    seen = {*material.train.patients, *material.val.patients}.union(*(one.read_patients_seen() for one in origins))
    run.save_facts(patients_seen=sorted(seen))


def _concluded(
    settings: Tune, run: Run, trials: list[FrozenTrial], searched: list[str], template: TrialTemplate
) -> Iterator[Event]:
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
    given = template.fill(best.params)
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
