"""Predict new mammograms with a trained model."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import torch

from tfm.analysis.calibration import find_temperature
from tfm.analysis.evaluation import evaluate
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.prediction.overlay import encode_overlay
from tfm.analysis.prediction.page import Overlay, render_predictions
from tfm.analysis.prediction.predicted_images import (
    NOTICE,
    PredictedImage,
    Verdict,
    average_members,
    judge_images,
    open_judges,
)
from tfm.analysis.prediction.shared_remarks import merge_remarks, split_shared_remarks
from tfm.analysis.prediction.tables import write_image_table, write_unit_table
from tfm.analysis.settings import Unit
from tfm.analysis.threshold import describe_rule, format_threshold
from tfm.analysis.trained_run import TrainedModel
from tfm.analysis.units import PLURALS
from tfm.commands.predict import Predict
from tfm.core import files
from tfm.core.events import Event, Note, Progress, Result, Table
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.data.seen_patients import SeenPatients
from tfm.pipelines.predictors import NetworkPredictor, Predictor, open_predictors
from tfm.pipelines.prepared_images import PreparedImages, prepare_images
from tfm.training.device import prepare_device

_COLUMNS = ["probability", "calibrated", "called"]
_SHOWN = 20  # rows of a table in the terminal; the files have all
_LONGEST_NAME = 24  # characters in the terminal; more leave no room for the other columns in 80


def predict(settings: Predict, run: Run) -> Iterator[Event]:
    source = find_run(run.workspace, settings.run)
    judges = open_judges(source)
    yield Note(NOTICE, "warning")
    predictors = yield from open_predictors(source, run.folder / "features")
    prepared = yield from prepare_images(settings, predictors, run.folder / "cache")
    names = list(prepared.images.facts)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        probs = yield from _predict(predictors, prepared, device)
        shown = [names[place] for place in np.argsort(-probs, kind="stable")[: settings.pictures]]
        overlays = yield from _explain(predictors, prepared, shown, device)
    seen = SeenPatients.read(source)
    remarks = prepared.list_remarks(predictors, seen)
    images = [
        PredictedImage(name, facts, prob, tuple(remarks[name]), prepared.find_seen_patient(name, seen))
        for (name, facts), prob in zip(prepared.images.facts.items(), probs.tolist(), strict=True)
    ]
    verdicts = {unit: judge_images(images, unit, judge) for unit, judge in judges.items()}
    computation = _describe_computation(predictors, judges, verdicts)
    refused = prepared.images.refused
    page = run.folder / "predictions.html"
    files.write_text(page, render_predictions(judges["image"], computation, images, verdicts, overlays, refused))
    tables = {unit: run.folder / f"{PLURALS[unit]}.csv" for unit in verdicts if verdicts[unit]}
    write_image_table(tables["image"], images, verdicts["image"], refused)
    for unit in tables.keys() - {"image"}:
        write_unit_table(tables[unit], unit, verdicts[unit])
    for leftover in ("cache", "features"):
        shutil.rmtree(run.folder / leftover, ignore_errors=True)
    yield from _show_verdicts(judges["image"].model, images, verdicts, refused)
    values = {"run": run.id, "trained": source.id, "model": judges["image"].model}
    counts = {"images": len(images), "refused": len(refused)}
    counts["malignant"] = sum(verdict.is_malignant for verdict in verdicts["image"])
    summary = (
        f"{values['model']} calls {counts['malignant']} of {len(images)} images malignant. "
        f"All verdicts and pictures:\n{page}"
    )
    yield Result({**values, **counts, "notice": NOTICE}, [str(path) for path in (page, *tables.values())], summary)


def _predict(
    predictors: Sequence[Predictor], prepared: PreparedImages, device: torch.device
) -> Generator[Event, None, np.ndarray]:
    """(n,) probabilities in the order of the images: the mean over the models."""
    members = []
    for predictor in predictors:
        samples = prepared.select(predictor, list(prepared.images.facts))
        members.append((yield from predictor.predict(prepared.find_cache(predictor), samples, device)))
    return average_members(members)


def _explain(
    predictors: Sequence[Predictor], prepared: PreparedImages, shown: Sequence[str], device: torch.device
) -> Generator[Event, None, dict[str, Overlay]]:
    """Draw the images, each beside where the first network looked."""
    overlays: dict[str, Overlay] = {}
    network = next((one for one in predictors if isinstance(one, NetworkPredictor)), None)
    cache, samples = prepared.find_cache(network or predictors[0]), prepared.select(network or predictors[0], shown)
    maps = network.explain(cache, samples, device) if network and shown else iter(())
    for done, (name, at) in enumerate(zip(shown, samples.positions, strict=True), 1):
        method, heat = next(maps, ("", None))
        if network and method and len(predictors) > 1:
            method = f"{method} of {network.name}"
        overlays[name] = Overlay(encode_overlay(cache.images[at], heat), method)
        yield Progress("pictures", done, len(shown), "images")
    return overlays


def _describe_computation(
    predictors: Sequence[Predictor], judges: dict[Unit, TrainedModel], verdicts: dict[Unit, list[Verdict]]
) -> list[str]:
    """Describe in sentences how the probabilities and verdicts were computed."""
    protocol = judges["image"].protocol
    chains = {one.chain.model_dump_json(): ", ".join(one.chain.steps) for one in predictors}
    sentences = [f"Preprocessing, as that of the training images: {steps}." for steps in chains.values()]
    if len(predictors) > 1:
        sentences.append(
            f"Probability: the mean over {len(predictors)} models, {', '.join(p.name for p in predictors)}."
        )
    if any(isinstance(one, NetworkPredictor) and one.settings.two_views for one in predictors):
        sentences.append(
            "The model classifies the two views of a breast together: both have one probability. An image whose other "
            "view is missing is classified alone, and its remark says so."
        )
    if any(isinstance(one, NetworkPredictor) and one.settings.tta for one in predictors):
        sentences.append("Each image is predicted with its mirror image, and the two are averaged.")
    for unit, judge in judges.items():
        if verdicts[unit]:
            text = format_threshold(judge.threshold, np.array([one.prob for one in verdicts[unit]]))
            temperature = f"{find_temperature(judge):.3g}"
            sentences.append(
                f"{PLURALS[unit].capitalize()}: called malignant from a probability of {text}; calibrated with the "
                f"temperature {temperature}."
            )
    sentences.append(
        f"Thresholds ({describe_rule(protocol.threshold_rule)}) and temperatures were chosen on validation. A verdict "
        "uses the probability that is not calibrated; calibration changes no verdict."
    )
    sentences.append(
        "Breast: the mean over its images here. Patient: the more suspicious breast. An image counts for them if its "
        "header or its name gives patient and side."
    )
    missing = [PLURALS[unit] for unit in ("breast", "patient") if unit not in judges]
    if missing:
        sentences.append(f"No verdict on {' and '.join(missing)}: each of those of validation has a malignant image.")
    auc = format_interval(evaluate(judges["image"], resample=False).metrics["auc"])
    return [*sentences, f"How well the model does: {protocol.describe_with_dataset(f'{protocol.sample}: AUC {auc}')}."]


def _show_verdicts(
    model: str, images: Sequence[PredictedImage], verdicts: dict[Unit, list[Verdict]], refused: dict[str, str]
) -> Iterator[Event]:
    """Show the verdicts and the refused files in the terminal."""
    shared, others = split_shared_remarks(images)
    for remark in shared:
        yield Note(f"all {len(images)} images: {remark}", "warning")
    rows = [[_shorten(one.name), *_format_verdict(one)] for one in verdicts["image"][:_SHOWN]]
    yield Table(f"Predictions of {model}", ["image", *_COLUMNS], rows, NOTICE)
    merged = merge_remarks(others)
    if merged:
        rows = [[str(len(named)), remark, _shorten(named[0])] for named, remark in merged[:_SHOWN]]
        yield Table("Remarks on some images", ["images", "remark", "the first"], rows)
    for unit, found in verdicts.items():
        if unit != "image" and found:
            rows = [[one.name, str(one.images), *_format_verdict(one)] for one in found]
            yield Table(PLURALS[unit].capitalize(), [unit, "images", *_COLUMNS], rows[:_SHOWN], NOTICE)
    if refused:
        first = {reason: name for name, reason in reversed(refused.items())}
        counted = Counter(refused.values()).most_common(_SHOWN)
        rows = [[str(count), reason, _shorten(first[reason])] for reason, count in counted]
        yield Table(f"{len(refused)} files are refused", ["files", "reason", "the first"], rows)


def _format_verdict(verdict: Verdict) -> list[str]:
    return [f"{verdict.prob:.3f}", f"{verdict.calibrated:.3f}", verdict.called]


def _shorten(name: str) -> str:
    """Shorten a long name in the middle: its end tells the files of a folder apart."""
    end = _LONGEST_NAME * 2 // 3
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - end - 1]}…{name[-end:]}"
