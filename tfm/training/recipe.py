"""Everything that determines a training, as plain values, and the one way to build a training from it.

A recipe can be written as JSON and read back. How a training proceeds lives in loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, cast

import torch
from pydantic import BeforeValidator, Field
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from tfm.core.randomness import seed_at
from tfm.core.settings.base import Settings
from tfm.data.cache.cache import Cache
from tfm.models.model_spec import ClassifierSpec, MaskedImageModelSpec, SegmenterSpec, Spec
from tfm.models.normalisation import Normalisation
from tfm.training.batches import Images
from tfm.training.inputs.samples import Sample, Samples
from tfm.training.optimizer import make_optimizer
from tfm.training.precision import make_grad_scaler
from tfm.training.settings import BatchSettings, MachineSettings, OptimizerSettings
from tfm.training.state import Training
from tfm.training.tasks.task_spec import ClassificationSpec, ReconstructionSpec, SegmentationSpec


class DataSpec(Spec):
    caches: tuple[Path, ...]  # folders, whose images follow one another
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    normalisation: Normalisation = Normalisation()
    balanced: bool = False  # each epoch takes as many malignant images as benign ones

    @classmethod
    def of(
        cls, cache: Cache, train: Samples, val: Samples, normalisation: Normalisation, *, balanced: bool = False
    ) -> DataSpec:
        return cls(
            caches=(cache.folder, *cache.joined_folders),
            train=train.to_records(),
            val=val.to_records(),
            normalisation=normalisation,
            balanced=balanced,
        )

    def open_cache(self) -> Cache:
        first, *more = (Cache.open(folder) for folder in self.caches)
        return first.join(more) if more else first


S = TypeVar("S", bound=Settings)


def _only(kind: type[S]) -> BeforeValidator:
    """Drop what a command's settings add to `kind`: the recipe keeps that with its task or data."""

    def narrow(value: Any) -> Any:
        return {name: getattr(value, name) for name in kind.model_fields} if isinstance(value, kind) else value

    return BeforeValidator(narrow)


class TrainingRecipe(Spec):
    model: Annotated[ClassifierSpec | SegmenterSpec | MaskedImageModelSpec, Field(discriminator="kind")]
    task: Annotated[ClassificationSpec | SegmentationSpec | ReconstructionSpec, Field(discriminator="kind")]
    batches: Annotated[BatchSettings, _only(BatchSettings)]
    optimizer: Annotated[OptimizerSettings, _only(OptimizerSettings)]
    machine: MachineSettings
    seed: int
    data: DataSpec

    def build(self, device: torch.device) -> Training:
        """Build the training with its first weights. Equal recipes give equal trainings."""
        torch.manual_seed(seed_at(self.seed, "weights") % 2**63)
        network = self.model.build()
        self.task.check_model(self.model)
        task = self.task.build(network, self)
        network.to(device)
        if self.machine.channels_last:
            network.to(memory_format=torch.channels_last)
        compiled: nn.Module = network
        if self.machine.compile:
            # Forget the graphs of earlier trainings in this process: from some number of graphs on, torch compiles no
            # more, and results would depend on what ran before.
            torch.compiler.reset()
            compiled = cast(nn.Module, torch.compile(network, dynamic=False))  # one graph for each batch size
        cache, ema = self.data.open_cache(), self.optimizer.ema
        train, val = (
            Images(cache, Samples.from_records(records), self.data.normalisation, device)
            for records in (self.data.train, self.data.val)
        )
        return Training(
            recipe=self,
            network=network,
            compiled_network=compiled,
            optimizer=make_optimizer(network, self.optimizer),
            scaler=make_grad_scaler(self.machine.precision, device),
            # The decay grows: at first the average is the mean over all steps so far.
            ema=ModelEmaV3(network, decay=ema, use_warmup=True, warmup_power=1.0) if ema else None,
            task=task,
            train=train,
            val=val,
            batch_size=0 if self.batches.batch_size == "auto" else self.batches.batch_size,
        )

    def check(self) -> None:
        """Check the settings before an expensive step: raise the errors that `build` would raise later."""
        with torch.device("meta"):  # shapes only, no numbers
            network = self.model.without_weights().build()
        self.task.build(network, self)
        self.task.check_model(self.model)

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.model_validate_json(text)

    def as_replica(self, batch_size: int) -> Self:
        """The same training without first weights and moving average: for another process or for a trial."""
        return self.model_copy(
            update={
                "model": self.model.without_weights(),
                "batches": self.batches.model_copy(update={"batch_size": batch_size}),
                "optimizer": self.optimizer.model_copy(update={"ema": None}),
            }
        )

    def for_evaluation(self) -> Self:
        """The same predictions, without what only training needs: frozen layers, loss terms, average, compilation."""
        settings = self.model.settings.model_copy(update={"trained": "all"})
        return self.model_copy(
            update={
                "model": self.model.without_weights().model_copy(update={"settings": settings}),
                "task": self.task.for_evaluation(),
                "optimizer": self.optimizer.model_copy(update={"ema": None}),
                "machine": MachineSettings(),
            }
        )
