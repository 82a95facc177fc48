"""The embeddings of a finished run's backbone: extracted once and kept in the workspace for every classifier on them.

How features are extracted lives in frozen_features, the classifiers in embedding_classifier.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tfm.core import files, hints
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Event, Note
from tfm.data.cache.cache import Cache
from tfm.models.head import find_head, find_last_layer
from tfm.models.lesion_guided import get_encoder
from tfm.models.model_spec import ClassifierSpec
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings
from tfm.training import gpu_lock
from tfm.training.batches import Images
from tfm.training.device import describe_arithmetic
from tfm.training.frozen_features import extract_features
from tfm.training.inputs.samples import Samples
from tfm.training.inputs.starting_point import SourceRun
from tfm.training.inputs.training_data import TrainingData
from tfm.training.settings import Embedding

Embeddings = dict[str, np.ndarray]  # split → (n, k) float32, in the order of the split's samples

_WORDS = {"train": "training", "val": "validation", "test": "the test"}
_ACCOUNT = "account.json"  # what the embeddings belong to, and their hashes as soon as they are complete


@dataclass(frozen=True)
class Backbone:
    """The network of a finished run's best checkpoint, frozen."""

    network: nn.Module
    part: nn.Module  # its input is the embedding
    embedding: Embedding
    normalisation: Normalisation
    batch_size: int
    precision: str

    @classmethod
    def open(
        cls, source: SourceRun, model: ModelSettings, embedding: Embedding, in_size: tuple[int, int], precision: str
    ) -> Backbone:
        frozen = model.model_copy(update={"trained": "none"})
        normalisation = source.read_normalisation()
        network = ClassifierSpec(settings=frozen, in_size=in_size, colours=normalisation.colours).build()
        network.load_state_dict(source.open_checkpoints().load_best()["network"])
        if embedding == "dense128" and model.head is None:
            raise SettingsError(
                f"the network of {source.run.id} has no hidden layer before its classifier",
                hint=f"choose {hints.setting('embedding', 'pool2048')}, or a run that was trained with one: "
                f"{hints.setting('head', 128)}",
                fields=("embedding",),
            )
        find_part = find_head if embedding == "pool2048" else find_last_layer
        part = find_part(get_encoder(network))
        batch_size = source.run.read_environment()["batch_size"]
        return cls(network, part, embedding, normalisation, batch_size, precision)

    def extract(
        self, cache: Cache, samples: Samples, device: torch.device, file: Path, name: str
    ) -> Generator[Event, None, np.ndarray]:
        """Extract the embeddings (n, k) of these samples, and save them in `file` batch by batch."""
        images = Images(cache, samples, self.normalisation, device)
        network, precision = self.network.to(device), self.precision
        return (
            yield from extract_features(
                network, self.part, images, self.batch_size, file, name=name, precision=precision
            )
        )

    def compute_identity(self, device: torch.device) -> dict[str, Any]:
        """What an embedding depends on apart from the image: the layers before `part`, and how and where it is
        computed, as one run may continue where another was stopped."""
        behind = {id(tensor) for tensor in self.part.parameters()}
        digest = hashlib.sha256()
        for name, tensor in [*self.network.named_parameters(), *self.network.named_buffers()]:
            if id(tensor) not in behind:
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().numpy().tobytes())
        way = {"embedding": self.embedding, "precision": self.precision, "batch_size": self.batch_size}
        return {
            "backbone": digest.hexdigest(),
            "way": way | self.normalisation.to_facts() | describe_arithmetic(device),
        }


def extract_embeddings(
    place: Path, backbone: Backbone, data: TrainingData, facts: dict[str, Any], device: torch.device, run: str
) -> Generator[Event, None, Embeddings]:
    """Read the embeddings of all splits from the folder `place`, or extract them there for `run`."""
    of = backbone.compute_identity(device) | {
        "dataset": [facts["dataset_hash"], facts["split_hash"]],
        "images": facts["images_sha256"],
    }
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    folder = place / f"{backbone.embedding}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        yield from gpu_lock.acquire_lock(folder / "lock", "the folder of the embeddings", run, held)
        files.remove_leftovers(folder)
        account = _read_account(folder, of)
        if "sha256" in account:
            yield Note(f"using the embeddings that were extracted before: {folder}")
            for split, digest in account["sha256"].items():
                file = folder / f"{split}.npy"
                if not file.is_file() or files.compute_sha256(file) != digest:
                    raise _describe_damage(folder, file.name)
            return {split: np.load(folder / f"{split}.npy") for split in account["sha256"]}
        files.write_json(folder / _ACCOUNT, {"of": of})
        return (yield from _extract(folder, of, backbone, data, device))


def _read_account(folder: Path, of: dict[str, Any]) -> dict[str, Any]:
    """The folder's name contains a hash of what the embeddings belong to; the account proves it in a copied folder."""
    try:
        account: dict[str, Any] = files.read_json(folder / _ACCOUNT)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _describe_damage(folder, _ACCOUNT) from error
    other = [name for name, value in of.items() if account.get("of", {}).get(name) != value]
    if other:
        raise DataError(
            f"the embeddings in {folder} belong to another {' and another '.join(other)}",
            hint="remove that folder: the embeddings are then extracted again",
        )
    return account


def _extract(
    folder: Path, of: dict[str, Any], backbone: Backbone, data: TrainingData, device: torch.device
) -> Generator[Event, None, Embeddings]:
    embeddings: Embeddings = {}
    for split, words in _WORDS.items():
        samples, file = getattr(data, split), folder / f"{split}.npy"
        embeddings[split] = yield from backbone.extract(data.cache, samples, device, file, f"embeddings of {words}")
    digests = {split: files.compute_sha256(folder / f"{split}.npy") for split in embeddings}
    files.write_json(folder / _ACCOUNT, {"of": of, "sha256": digests})
    return embeddings


def _describe_damage(folder: Path, file: str) -> DataError:
    return DataError(
        f"the embeddings in {folder} are damaged: {file} is missing or has changed",
        hint="remove that folder: the embeddings are then extracted again",
    )
