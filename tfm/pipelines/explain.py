"""Explain a trained model: draw heat maps and score them against breast and lesion masks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tfm.analysis.explanation.explainer import Explainer
from tfm.analysis.explanation.figure import ExplainedImage, choose_examples, draw_explanations
from tfm.analysis.explanation.scores import (
    CAPTION,
    COLUMNS,
    format_rows,
    pair_with_baselines,
    score_explanations,
    summarize_scores,
    write_scores,
)
from tfm.analysis.intervals import flatten_intervals
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import Protocol, build_protocol, open_trained_model
from tfm.commands.explain import Explain
from tfm.commands.train import Train
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Result, Table
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.models.build import build_model
from tfm.models.model_card import build_card
from tfm.pipelines.train import arranged
from tfm.training.batches import Images, Normalisation
from tfm.training.device import prepare
from tfm.training.inputs.lineage import Origin, check_same
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.training_data import Material
from tfm.training.settings import BreastSettings
from tfm.training.tasks.factory import task_of

_SPLITS = {"test": "test", "val": "validation"}


def explain(settings: Explain, run: Run) -> Iterator[Event]:
    origin = Origin(find_run(run.workspace, settings.run))
    trained = open_trained_model(origin.run)
    choices = load_settings(origin.run)
    assert isinstance(choices, Train)
    material = arranged(choices, run.workspace)
    check_same(origin, (yield from material.facts()))
    predictions = read_predictions(origin.run.predictions_file(settings.split))
    protocol = replace(
        build_protocol(origin.run.read_environment(), predictions, choices.threshold), split=_SPLITS[settings.split]
    )
    shown = choose_examples(predictions, trained.threshold, settings.pictures)
    with contextlib.ExitStack() as held:
        device = yield from prepare(settings.machine, run, held)
        explained = _opened(settings, choices, origin, material, device)
        yield from _introduced(explained)
        batch_size = origin.run.read_environment()["batch_size"]
        table, maps = yield from score_explanations(
            explained, batch_size, [place for group in shown.values() for place in group]
        )
    beside = pair_with_baselines(table, explained.methods)
    figures = summarize_scores(beside)
    title = f"Where {trained.model} looks"
    yield Table(title, COLUMNS, format_rows(beside, figures), f"{protocol.caption}. {CAPTION}")
    picture, account = run.figures_folder / "explained.png", run.folder / "explained.json"
    yield from _drawn(
        explained, predictions["prob"].to_numpy(), trained.threshold, shown, maps, title, protocol, picture
    )
    files.write_json(
        account,
        {
            "trained": trained.run,
            "protocol": protocol.caption,
            "looks": {name: flatten_intervals(scores) for name, scores in figures.items()},
        },
    )
    write_scores(run.scores_file, table)
    way = explained.methods[0]
    yield Result(
        {"run": run.id, "trained": trained.run, "model": trained.model, "look": way, **flatten_intervals(figures[way])},
        outputs=[str(path) for path in (account, run.scores_file, picture)],
    )


def _opened(settings: Explain, choices: Train, origin: Origin, material: Material, device: torch.device) -> Explainer:
    """The network at its best, as it was when it left its predictions."""
    in_size = material.cache.images.shape[1:]
    network = build_model(choices.model, in_size)
    network.load_state_dict(origin.checkpoints.load_best()["network"])
    labels = material.train.labels[material.train.labels != UNKNOWN]
    asked = BreastSettings(pooling=choices.breast.pooling)  # no answer hangs on what else a loss is made of
    task = task_of(network, labels, choices.batches, choices.optim, choices.machine, asked, choices.labels)
    rows = material.test if settings.split == "test" else material.val
    images = Images(material.cache, rows, Normalisation(**origin.run.read_environment()["normalisation"]), device)
    return Explainer.of(network, task, images, build_card(choices.model, in_size, 1))


def _introduced(explained: Explainer) -> Iterator[Event]:
    cache, positions = explained.images.cache, explained.images.rows.positions
    bare = sum(not cache.breast[position].any() for position in positions)
    clear = sum(not cache.lesions[position].any() for position in positions)
    yield Note(
        f"{len(positions)} images, {len(positions) - clear} of them with a lesion in their mask, explained by "
        f"{', '.join(explained.methods)}; {explained.images.device}"
    )
    if bare:
        yield Note(f"{bare} of the {len(positions)} images have no breast: what is outside of it is unknown", "warning")


def _drawn(
    explained: Explainer,
    probs: np.ndarray,
    threshold: float,
    shown: dict[str, list[int]],
    maps: dict[int, dict[str, np.ndarray]],
    title: str,
    protocol: Protocol,
    path: Path,
) -> Iterator[Event]:
    images = explained.images
    pages = []
    for kind, places in shown.items():
        for place in places:
            at = images.rows.positions[place]
            name, label = images.rows.table["image_id"][place], images.rows.labels[place]
            pages.append(
                ExplainedImage(
                    kind=kind,
                    name=name,
                    label=int(label),
                    called=int(probs[place] >= threshold),
                    prob=float(probs[place]),
                    image=images.cache.images[at],
                    breast=images.cache.breast[at] > 0,
                    lesion=images.cache.lesions[at] > 0,
                    maps=maps[place],
                )
            )
    draw_explanations(path, pages, title, protocol)
    yield Picture(str(path), title)
