"""The network of a finished training run, as it made the predictions, with its data."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from tfm.commands.train import Train
from tfm.core.events import Event
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.pipelines.train import make_recipe, open_training_data
from tfm.training.inputs.samples import UNKNOWN, Samples
from tfm.training.inputs.starting_point import SourceRun, check_unchanged
from tfm.training.inputs.training_data import TrainingData
from tfm.training.state import Training


@dataclass(frozen=True)
class TrainedRun:
    source: SourceRun
    settings: Train
    data: TrainingData

    @classmethod
    def open(cls, run: Run) -> Generator[Event, None, TrainedRun]:
        """Open the run's data. Refuse data that changed since it was trained."""
        source, settings = SourceRun(run), load_settings(run)
        assert isinstance(settings, Train)
        data = open_training_data(settings, run.workspace)
        check_unchanged(source, (yield from data.collect_facts()))
        return cls(source, settings, data)

    def build(self, samples: Samples, device: torch.device) -> Training:
        """Build the training with the best checkpoint; `samples` take the place of its validation images."""
        labelled = self.data.train.select(self.data.train.labels != UNKNOWN)
        recipe = make_recipe(self.settings, self.data.cache, labelled, samples, self.source.read_normalisation())
        training = recipe.for_evaluation().build(device)
        training.network.load_state_dict(self.source.open_checkpoints().load_best()["network"])
        return training
