"""Explain a trained model: draw heat maps and score them against breast and lesion masks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tfm.analysis.explanation.agreement import make_agreement_table, measure_agreements
from tfm.analysis.explanation.explainer import ATTENTION, FOR_BENIGN, FOR_MALIGNANT, LESIONS, Explainer
from tfm.analysis.explanation.gallery import (
    GRAD_CAM,
    OCCLUSION,
    Example,
    ExplainedImage,
    choose_galleries,
    choose_occluded,
)
from tfm.analysis.explanation.scores import (
    make_score_table,
    pair_with_baselines,
    score_explanations,
    summarize_scores,
    write_scores,
)
from tfm.analysis.figures.gallery import draw_gallery, split_into_pages
from tfm.analysis.figures.style import save_figure
from tfm.analysis.format_intervals import flatten_intervals
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import Protocol, TrainedModel, open_trained_model
from tfm.commands.explain import Explain
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Progress, Result
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.models.model_summary import build_card
from tfm.pipelines.open_network import TrainedRun
from tfm.training.device import prepare_device


def explain(settings: Explain, run: Run) -> Iterator[Event]:
    yield Progress("opening the model", 0, 1)
    source = find_run(run.workspace, settings.run)
    trained = open_trained_model(source)
    opened = yield from TrainedRun.open(source)
    predictions = read_predictions(source.predictions_file(settings.split))
    protocol = trained.describe_split(settings.split)
    galleries = choose_galleries(predictions, trained.threshold, settings.pictures)
    drawn = [example.place for gallery in galleries.values() for example in gallery]
    occlusion: dict[int, np.ndarray] = {}
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        explainer = _open_explainer(settings, opened, device)
        yield from _describe_images(explainer)
        table, maps = yield from score_explanations(explainer, source.read_environment()["batch_size"], drawn)
        occluded = choose_occluded(galleries, settings.occluded_images) if settings.occlusion else []
        if occluded:
            yield Note(
                f"occlusion: covering parts of {len(occluded)} of the {len(drawn)} drawn images takes "
                f"{explainer.count_occlusion_passes(occluded):,} passes through the model"
            )
        for done, place in enumerate(occluded, start=1):
            occlusion[place] = explainer.compute_occlusion(place)
            yield Progress("occlusion", done, len(occluded), "images")
    paired = pair_with_baselines(table, explainer.methods)
    scores = summarize_scores(paired)
    scored = make_score_table(f"Where {trained.model} looks", paired, scores, protocol.caption)
    yield scored or Note("there are neither breast masks nor lesion masks: the explanations are not scored", "warning")
    shown = {
        gallery: [_collect_image(explainer, predictions, trained.threshold, one, maps, occlusion) for one in examples]
        for gallery, examples in galleries.items()
    }
    yield Progress("drawing the galleries", 0, 1)
    agreements = measure_agreements(shown)
    if agreements:
        yield make_agreement_table(agreements, len(drawn), protocol.caption)
    figures = yield from _draw_galleries(run, trained, protocol, shown)
    account = {
        "trained": trained.run,
        "protocol": protocol.caption,
        "looks": {name: flatten_intervals(intervals) for name, intervals in scores.items()},
        "occlusion_beside_grad_cam": {
            gallery: interval.flatten("agreement") | {"images": count}
            for gallery, (interval, count) in agreements.items()
        },
    }
    files.write_json(run.folder / "explained.json", account)
    write_scores(run.scores_file, table)
    way = explainer.methods[0]
    yield Result(
        {"run": run.id, "trained": trained.run, "model": trained.model, "look": way, **flatten_intervals(scores[way])},
        outputs=[str(path) for path in (run.folder / "explained.json", run.scores_file, *figures)],
        summary=f"The pictures show where {trained.model} looks in {len(drawn)} images.",
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
    if not with_lesion:
        yield Note(
            "no image has a lesion mask: where the model looks is not scored against lesions. Organize the download "
            "with its ROI masks, and preprocess it again, to change this",
            "warning",
        )
    if empty:
        yield Note(
            f"{empty} of the {len(positions)} images have an empty breast mask: their attention outside the breast is "
            "unknown",
            "warning",
        )


def _draw_galleries(
    run: Run, trained: TrainedModel, protocol: Protocol, shown: dict[str, list[ExplainedImage]]
) -> Generator[Event, None, list[Path]]:
    paths = []
    words = "in parentheses: probability of malignancy; the colours of each map are scaled to its own maximum"
    for gallery, images in shown.items():
        if not images:
            yield Note(f"there is no gallery of {gallery}: the model has none at its threshold")
            continue
        pages = split_into_pages(images)
        for number, page in enumerate(pages, start=1):
            of = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
            title = f"{trained.model}: {gallery}{of}"
            name = "-".join(["explained", *gallery.split(), *([str(number)] if of else [])])
            figure = draw_gallery(page, title)
            paths += save_figure(figure, run.figures_folder, name, protocol.describe_with_dataset(words))
            yield Picture(str(paths[-2]), title)
    return paths


def _collect_image(
    explainer: Explainer,
    predictions: pd.DataFrame,
    threshold: float,
    example: Example,
    maps: dict[int, dict[str, np.ndarray]],
    occlusion: dict[int, np.ndarray],
) -> ExplainedImage:
    cache, samples, place = explainer.images.cache, explainer.images.samples, example.place
    position, prob, own = samples.positions[place], float(predictions["prob"][place]), maps[place]
    evidence = {}
    if FOR_MALIGNANT in own:
        evidence[GRAD_CAM] = own[FOR_MALIGNANT] - own[FOR_BENIGN]
    if place in occlusion:
        evidence[OCCLUSION] = occlusion[place]
    return ExplainedImage(
        name=samples.table["image_id"][place],
        patient=samples.table["patient_id"][place],
        reason=example.reason,
        label=int(samples.labels[place]),
        called=int(prob >= threshold),
        prob=prob,
        image=cache.images[position],
        breast=cache.breast[position] > 0,
        lesion=cache.lesions[position] > 0,
        shares={method: own[method] for method in (LESIONS, ATTENTION) if method in own},
        evidence=evidence,
    )
