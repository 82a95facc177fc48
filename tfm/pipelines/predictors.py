"""The trained models behind a run: one network, one classifier on embeddings, or the members of an average."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tfm.analysis.explanation.explainer import FOR_MALIGNANT, LESIONS, Explainer
from tfm.commands import preprocess
from tfm.commands.average import Average
from tfm.commands.forest import Forest
from tfm.commands.train import Train
from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.core.runs.lookup import find_run
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.data.cache.cache import Cache
from tfm.data.cache.manifest import parse_chain
from tfm.imaging.settings import ChainSettings
from tfm.models.model_summary import build_card
from tfm.pipelines.forest import get_learner_file
from tfm.pipelines.train import make_recipe, open_training_data
from tfm.training.embedding_classifier import load_learner, predict_probabilities
from tfm.training.embeddings import Backbone
from tfm.training.inference import compute_probabilities, predict_logits
from tfm.training.inputs.images_seen import ImagesSeen, describe_images_seen, recall_images_seen
from tfm.training.inputs.samples import Samples
from tfm.training.inputs.starting_point import SourceRun, check_unchanged
from tfm.training.state import Training

Explanation = tuple[str, np.ndarray]  # the method, and its map (H, W) float32, at least zero


@dataclass(frozen=True)
class NetworkPredictor:
    source: SourceRun
    settings: Train
    seen: ImagesSeen

    @property
    def run(self) -> Run:
        return self.source.run

    @property
    def name(self) -> str:
        return str(self.run.read_status().result["model"])

    @property
    def chain(self) -> ChainSettings:
        return parse_chain(self.seen.steps, self.settings.cache, preprocess.COMMAND.version)

    @property
    def training_cache(self) -> Path:
        return self.source.run.workspace.cache_folder(self.settings.cache)

    def predict(self, cache: Cache, samples: Samples, device: torch.device) -> Generator[Event, None, np.ndarray]:
        """Predict (n,) probabilities as the run predicted its test images."""
        training = self._build(cache, samples, device)
        outputs = yield from predict_logits(
            training.task,
            training.network,
            training.val,
            self.batch_size,
            f"predicting with {self.name}",
            precision=self.settings.machine.precision,
            tta=self.settings.tta,
        )
        return compute_probabilities(outputs)

    def explain(self, cache: Cache, samples: Samples, device: torch.device) -> Iterator[Explanation]:
        """Yield the explanation of one image after another; nothing for a network that cannot be explained."""
        training = self._build(cache, samples, device)
        # Two images: batch statistics cannot be taken over one place of one image.
        card = build_card(self.settings.model, training.recipe.model.in_size, 2, training.recipe.model.colours)
        explainer = Explainer.of(training.network, training.task, training.val, card)
        method = next((one for one in (LESIONS, FOR_MALIGNANT) if one in explainer.methods), None)
        if method is None or not (method == LESIONS or card.layout in ("NCHW", "NHWC")):
            return
        for number in range(len(samples)):
            yield method, explainer.compute_maps(np.array([number]))[method][0]

    @property
    def batch_size(self) -> int:
        return int(self.source.run.read_environment()["batch_size"])

    def _build(self, cache: Cache, samples: Samples, device: torch.device) -> Training:
        """Build the network of the best checkpoint, which made the predictions of the run."""
        normalisation = self.source.read_normalisation()
        recipe = make_recipe(self.settings, cache, samples.select([]), samples, normalisation).for_evaluation()
        training = recipe.build(device)
        training.network.load_state_dict(self.source.open_checkpoints().load_best()["network"])
        return training


@dataclass(frozen=True)
class ForestPredictor:
    run: Run
    settings: Forest
    backbone: NetworkPredictor
    features: Path  # file for the features of the new images

    @property
    def name(self) -> str:
        return str(self.run.read_status().result["model"])

    @property
    def seen(self) -> ImagesSeen:
        return self.backbone.seen

    @property
    def chain(self) -> ChainSettings:
        return self.backbone.chain

    @property
    def training_cache(self) -> Path:
        return self.backbone.training_cache

    def predict(self, cache: Cache, samples: Samples, device: torch.device) -> Generator[Event, None, np.ndarray]:
        trained = self.backbone.settings
        embedding, precision = self.settings.learning.embedding, trained.machine.precision
        in_size = cache.images.shape[1:]
        self.features.unlink(missing_ok=True)  # an earlier start may have read other files
        backbone = Backbone.open(self.backbone.source, trained.model, embedding, in_size, precision)
        features = yield from backbone.extract(cache, samples, device, self.features, f"features for {self.name}")
        return predict_probabilities(load_learner(get_learner_file(self.run), features.shape[1]), features)


Predictor = NetworkPredictor | ForestPredictor


def open_predictors(run: Run, features: Path) -> Generator[Event, None, list[Predictor]]:
    """Open the models of a run. Their files are checked.

    Args:
        features: folder for the features that a classifier on embeddings extracts.
    """
    run.check_outputs()
    settings = load_settings(run)
    if isinstance(settings, Average):
        members: list[Predictor] = []
        for name in settings.runs:
            members += yield from open_predictors(find_run(run.workspace, name), features)
        return members
    if isinstance(settings, Forest):
        backbone = yield from _open_network(find_run(run.workspace, settings.backbone))
        return [ForestPredictor(run, settings, backbone, features / f"{run.id}.npy")]
    return [(yield from _open_network(run))]


def _open_network(run: Run) -> Generator[Event, None, NetworkPredictor]:
    run.check_outputs()
    settings, source = load_settings(run), SourceRun(run)
    assert isinstance(settings, Train)
    seen = recall_images_seen(run) or (yield from _describe_old_run(source, settings))
    return NetworkPredictor(source, settings, seen)


def _describe_old_run(source: SourceRun, settings: Train) -> Generator[Event, None, ImagesSeen]:
    """Read the steps from the cache of a run that does not remember them, if its images are still the same."""
    try:
        data = open_training_data(settings, source.run.workspace)
    except DataError as error:
        raise DataError(
            f"{source.run.id} does not contain the steps of its preprocessing, and they cannot be read from the cache "
            f"{settings.cache} and the dataset {settings.dataset}: {error.message}",
            hint="restore both, or train the model again",
        ) from None
    check_unchanged(source, (yield from data.collect_facts()))
    return (yield from describe_images_seen(data))
