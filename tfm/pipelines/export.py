"""Export a trained model: weights, ONNX, model card and sample script, in one folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import torch

from tfm.analysis.calibration import find_temperature
from tfm.analysis.evaluation import evaluate
from tfm.analysis.model_export import classify_images
from tfm.analysis.model_export.model_card import CardFacts, format_model_card
from tfm.analysis.model_export.pixel_classifier import TOLERANCE, OnnxCheck, PixelClassifier, check_onnx, write_onnx
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.commands.export import Export
from tfm.commands.train import Train
from tfm.core import files, hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Result
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.data.cache.cache import SETTINGS, Cache
from tfm.imaging.settings import ChainSettings
from tfm.models.weights import NORMALISATION, save_weights
from tfm.pipelines.open_network import TrainedRun
from tfm.training.inference import compute_probabilities, predict_logits
from tfm.training.state import Training


def export(settings: Export, run: Run) -> Iterator[Event]:
    source = find_run(run.workspace, settings.run)
    trained = open_trained_model(source)
    opened = yield from TrainedRun.open(source)
    if settings.onnx:
        _refuse_onnx(opened.settings, trained)
    folder = run.folder / "model"
    folder.mkdir(exist_ok=True)
    chosen = np.unique(np.linspace(0, len(opened.data.test) - 1, settings.images).round().astype(int))
    training = opened.build(opened.data.test.select(chosen), torch.device("cpu"))
    _write_weights(folder / "model.safetensors", trained, opened, training)
    cache = opened.data.cache
    chain = _read_chain(cache)
    if chain:
        _write_preset(folder / "preprocessing.yaml", trained.model, chain)
    check = sample = None
    if settings.onnx:
        sample = _write_sample_image(folder / "sample_image.png", training)
        check = yield from _write_checked_onnx(folder, trained, opened, training)
        files.write_bytes(folder / "classify_images.py", Path(classify_images.__file__).read_bytes())
    facts = CardFacts(
        trained=trained,
        metrics=evaluate(trained).metrics,
        collection=opened.data.dataset.collection,
        environment=source.read_environment(),
        settings=source.read_settings(),
        epochs=source.read_status().result["epochs"],
        in_size=cache.images.shape[1:],
        bits=8 * cache.images.itemsize,
        chain=chain,
        normalisation=training.val.normalisation,
        check=check,
        checked_images=len(chosen),
        sample=sample,
    )
    files.write_text(folder / "README.md", format_model_card(facts))
    yield Note(f"exported to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    values = {"run": run.id, "trained": trained.run, "model": trained.model, "folder": str(folder)}
    differences = {"from_torch": check.from_torch, "from_predictions": check.from_predictions} if check else {}
    yield Result(values | differences, outputs=sorted(map(str, folder.iterdir())))


def _refuse_onnx(settings: Train, trained: TrainedModel) -> None:
    reason = None
    if settings.two_views:
        reason = "it classifies two images of a breast together, and an ONNX model gets one"
    elif settings.breast.pooling == "breast":
        reason = "it averages its features over the breast, and an ONNX model gets no breast mask"
    if reason:
        raise SettingsError(
            f"{trained.run} ({trained.model}) cannot be exported as ONNX: {reason}",
            hint=f"export its weights alone: {hints.setting('onnx', False)}",
            fields=("onnx",),
        )


def _write_weights(path: Path, trained: TrainedModel, opened: TrainedRun, training: Training) -> None:
    facts = {
        "run": trained.run,
        "model": trained.model,
        "architecture": opened.settings.model.architecture,
        NORMALISATION: training.val.normalisation.to_facts(),
        "patients_seen": sorted(opened.source.read_patients_seen()),
        "origin_unknown": opened.source.read_unknown_origins(),
    }
    save_weights(path, training.network.state_dict(), facts)


def _read_chain(cache: Cache) -> ChainSettings | None:
    settings = files.read_yaml(cache.folder / SETTINGS)
    if "steps" not in settings:
        return None
    return ChainSettings(frame=settings["frame"], steps=dict(settings["steps"]))


def _write_preset(path: Path, model: str, chain: ChainSettings) -> None:
    about = "The steps that made the images of an exported model."
    preset = {"title": f"As for {model}"[:50], "about": about, "stage": "preprocess"}
    files.write_yaml(path, preset | {"settings": chain.model_dump(mode="json")})


def _write_sample_image(path: Path, training: Training) -> str:
    """Write the first checked test image as the network gets it, so that the sample script can be tried.
    Return its name. CBIS-DDSM (CC BY) and phantoms may both be passed on."""
    samples, cache = training.val.samples, training.val.cache
    _, png = cv2.imencode(".png", cache.images[samples.positions[0]])
    files.write_bytes(path, png.tobytes())
    return str(samples.table["image_id"].iloc[0])


def _write_checked_onnx(
    folder: Path, trained: TrainedModel, opened: TrainedRun, training: Training
) -> Generator[Event, None, OnnxCheck]:
    """Write the model, compare it with this program's own way to predict, and write the result down."""
    path, images = folder / "model.onnx", training.val
    model = PixelClassifier(training.network, images.normalisation, mirrors=opened.settings.tta)
    facts = {"run": trained.run, "model": trained.model, "threshold": repr(trained.threshold)}
    facts |= {"temperature": repr(find_temperature(trained))}
    size = opened.data.cache.images.shape[1:]
    yield Note(f"writing {path.name} for images of {size[0]} × {size[1]} pixels")
    write_onnx(path, model, size, facts)
    outputs = yield from predict_logits(training.task, training.network, images, 4, "checked", tta=opened.settings.tta)
    stored = read_predictions(opened.source.run.predictions_file("test")).set_index("image_id")
    predicted = stored.loc[images.samples.table["image_id"], "prob"].to_numpy()
    check = check_onnx(path, images.cache.images[images.samples.positions], compute_probabilities(outputs), predicted)
    yield Note(
        f"model.onnx differs from this program by at most {check.from_torch:.1e} on {len(predicted)} test images, and "
        f"from the stored predictions by at most {check.from_predictions:.1e}"
    )
    versions = {name: metadata.version(name) for name in ("torch", "onnxruntime", "onnxscript")}
    names = images.samples.table["image_id"].tolist()
    content = asdict(check) | {"tolerance": TOLERANCE, "images": names, "versions": versions}
    files.write_json(folder / "check.json", content)
    return check
