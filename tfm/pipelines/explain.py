"""Explain a trained model: draw heat maps and score them against breast and lesion masks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

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
from tfm.analysis.format_intervals import flatten_intervals
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import build_protocol, open_trained_model
from tfm.commands.explain import Explain
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Result, Table
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.models.model_summary import build_card
from tfm.pipelines.open_network import TrainedRun
from tfm.training.device import prepare_device


def explain(settings: Explain, run: Run) -> Iterator[Event]:
    source = find_run(run.workspace, settings.run)
    trained = open_trained_model(source)
    opened = yield from TrainedRun.open(source)
    environment = source.read_environment()
    predictions = read_predictions(source.predictions_file(settings.split))
    split = "validation" if settings.split == "val" else "test"
    protocol = replace(build_protocol(environment, predictions, opened.settings.threshold), split=split)
    examples = choose_examples(predictions, trained.threshold, settings.pictures)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        explainer = _open_explainer(settings, opened, device)
        yield from _describe_images(explainer)
        table, maps = yield from score_explanations(
            explainer, environment["batch_size"], [place for group in examples.values() for place in group]
        )
    paired = pair_with_baselines(table, explainer.methods)
    scores = summarize_scores(paired)
    title = f"Where {trained.model} looks"
    yield Table(title, COLUMNS, format_rows(paired, scores), f"{protocol.caption}. {CAPTION}")
    figure, account = run.figures_folder / "explained.png", run.folder / "explained.json"
    probs = predictions["prob"].to_numpy()
    draw_explanations(figure, _collect_examples(explainer, probs, trained.threshold, examples, maps), title, protocol)
    yield Picture(str(figure), title)
    looks = {name: flatten_intervals(intervals) for name, intervals in scores.items()}
    files.write_json(account, {"trained": trained.run, "protocol": protocol.caption, "looks": looks})
    write_scores(run.scores_file, table)
    way = explainer.methods[0]
    yield Result(
        {"run": run.id, "trained": trained.run, "model": trained.model, "look": way, **flatten_intervals(scores[way])},
        outputs=[str(path) for path in (account, run.scores_file, figure)],
    )


def _open_explainer(settings: Explain, trained: TrainedRun, device: torch.device) -> Explainer:
    samples = trained.data.test if settings.split == "test" else trained.data.val
    training = trained.build(samples, device)
    model = training.recipe.model
    # Two images: batch statistics cannot be taken over one place of one image.
    card = build_card(trained.settings.model, model.in_size, 2, model.colours)
    return Explainer.of(training.network, training.task, training.val, card)


def _describe_images(explainer: Explainer) -> Iterator[Event]:
    cache, positions = explainer.images.cache, explainer.images.samples.positions
    empty = sum(not cache.breast[position].any() for position in positions)
    with_lesion = sum(bool(cache.lesions[position].any()) for position in positions)
    yield Note(
        f"explaining {len(positions)} images, {with_lesion} of them with a lesion in their mask, by "
        f"{', '.join(explainer.methods)}; {explainer.images.device}"
    )
    if empty:
        yield Note(
            f"{empty} of the {len(positions)} images have an empty breast mask: their attention outside the breast is "
            "unknown",
            "warning",
        )


def _collect_examples(
    explainer: Explainer,
    probs: np.ndarray,
    threshold: float,
    examples: dict[str, list[int]],
    maps: dict[int, dict[str, np.ndarray]],
) -> list[ExplainedImage]:
    cache, samples = explainer.images.cache, explainer.images.samples
    return [
        ExplainedImage(
            kind=kind,
            name=samples.table["image_id"][place],
            label=int(samples.labels[place]),
            called=int(probs[place] >= threshold),
            prob=float(probs[place]),
            image=cache.images[samples.positions[place]],
            breast=cache.breast[samples.positions[place]] > 0,
            lesion=cache.lesions[samples.positions[place]] > 0,
            maps=maps[place],
        )
        for kind, places in examples.items()
        for place in places
    ]
